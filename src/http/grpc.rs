//! OTLP over gRPC, on the same port: the services of traces, logs and metrics, whose one method is `Export`.
//!
//! The message of a post goes into the journal as it came, so it is not decoded here.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::response::Response;
use axum::routing::post;
use bytes::{Buf, BufMut};
use http_body_util::Full;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::Grpc;
use tonic::{Code, Status};

use super::App;
use super::app::blocking;
use super::caller::Caller;
use super::error::ApiError;
use super::otlp::{self, INFLATED_BYTES_MAX, METRICS, Post, grpc_code};
use super::{reading, stated};
use crate::capture::otlp::{Encoding, Signal, answer};

/// The routes of the services.
pub(super) fn routes() -> Router<App> {
    let traces = |State(app): State<App>, request| export(app, Some(Signal::Traces), request);
    let logs = |State(app): State<App>, request| export(app, Some(Signal::Logs), request);
    let metrics = |State(app): State<App>, request| export(app, None, request);
    Router::new()
        .route("/opentelemetry.proto.collector.trace.v1.TraceService/Export", post(traces))
        .route("/opentelemetry.proto.collector.logs.v1.LogsService/Export", post(logs))
        .route("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", post(metrics))
}

async fn export(app: App, signal: Option<Signal>, request: Request) -> Response {
    match exported(&app, signal, request).await {
        Ok(response) => response,
        Err(error) => status(error).into_http(),
    }
}

async fn exported(
    app: &App,
    signal: Option<Signal>,
    request: Request,
) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let Caller(grant) = Caller::from_request_parts(&mut parts, app).await?;
    let ledger = stated::ledger(app, &grant, None).await?;
    let origin = otlp::origin(&grant, &parts.headers)?;
    // The frame is read as any body is: bounded, and counted among all bodies.
    let read = reading::body(app, &parts.headers, body).await?;
    let turn = otlp::turn(app).await?;
    let framed = axum::http::Request::from_parts(parts, Full::new(read.bytes.clone()));
    let app = app.clone();
    let service = tower::service_fn(move |request: tonic::Request<Bytes>| {
        let (app, ledger, origin) = (app.clone(), ledger.clone(), origin.clone());
        async move {
            let Some(signal) = signal else {
                let body = answer::accepted(Signal::Traces, Encoding::Protobuf, 0, METRICS);
                return Ok(tonic::Response::new(body));
            };
            let post = Post { ledger, origin, signal, encoding: Encoding::Protobuf };
            let taken = blocking(move || post.take(&app, request.get_ref())).await;
            let taken = taken.map_err(status)?;
            let reason = taken.reason.unwrap_or_default();
            let body = answer::accepted(signal, Encoding::Protobuf, taken.rejected, reason);
            Ok(tonic::Response::new(body))
        }
    });
    let mut grpc = Grpc::new(Raw)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(INFLATED_BYTES_MAX);
    let response = grpc.unary(service, framed).await;
    drop((read, turn));
    Ok(response.map(Body::new))
}

/// An error as gRPC says it to an exporter.
fn status(error: ApiError) -> Status {
    let error = error.for_exporter();
    if let Some(cause) = &error.cause {
        tracing::error!(cause, "a post over gRPC failed");
    }
    let code = i32::try_from(grpc_code(error.status)).unwrap_or(2);
    Status::new(Code::from_i32(code), error.detail)
}

/// Messages as the bytes that they are.
#[derive(Clone, Copy, Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = from.remaining();
        Ok(Some(from.copy_to_bytes(length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_that_took_too_long_is_to_be_sent_again() {
        assert_eq!(status(ApiError::timeout()).code(), Code::Unavailable);
        assert_eq!(status(ApiError::body_too_large()).code(), Code::InvalidArgument);
    }
}
