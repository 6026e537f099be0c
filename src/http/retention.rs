//! What a policy no longer keeps is erased by the server itself, from time to time.

use std::sync::Arc;
use std::time::Duration;

use super::App;
use super::app::blocking;
use super::error::{ApiError, with_causes};
use crate::record::LedgerName;

/// How often it is looked for content whose time is over. Policies count in days.
const EVERY: Duration = Duration::from_hours(1);

/// Erases what is over in every ledger, now and every hour.
pub(super) async fn run(app: App) {
    let mut hours = tokio::time::interval(EVERY);
    loop {
        hours.tick().await;
        for name in app.ledgers.names().unwrap_or_default() {
            if let Err(error) = purge(&app, name.clone()).await {
                let cause = error.cause.unwrap_or(error.detail);
                tracing::error!(ledger = %name, error = cause, "what is over was not erased");
            }
        }
    }
}

async fn purge(app: &App, name: LedgerName) -> Result<(), ApiError> {
    let ledgers = Arc::clone(&app.ledgers);
    let ledger = blocking(move || Ok(ledgers.get(&name)?)).await?;
    let purged = ledger.purge_due(app.clock.now()).await;
    let purged = purged.map_err(|error| ApiError::internal(with_causes(&error)))?;
    if purged.records > 0 {
        let ledger = &*ledger.meta().ledger;
        tracing::info!(ledger, records = purged.records, "content whose time was over was erased");
    }
    Ok(())
}
