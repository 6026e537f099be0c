//! The mapping table, as data: which attribute means what, by convention and generation.
//!
//! A field is read from the first of its rows whose attribute is there and says something. The order
//! of the rows is the order of precedence: what a person configured for provenance comes before what
//! an instrumentation guessed, and today's names before those of yesterday. Producers are never told
//! apart: whoever uses a convention's names is read by that convention.
//!
//! Sources: OpenTelemetry semantic conventions 1.27 to 1.42 (`gen_ai.*`, `http.*`, `db.*`, `mcp.*`),
//! `OpenInference`, `OpenLLMetry` (`traceloop.*`, flattened `gen_ai.prompt.N.*`), the AI SDK by Vercel
//! (`ai.*`), and the names that these leave to users (`metadata`).

/// What can be read of a span or a log record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// The accountable user.
    User,
    /// What kind of user that is.
    UserType,
    /// The session.
    Session,
    /// The grant under which the agent acts.
    Delegation,
    /// The agent's lasting name.
    Agent,
    /// The agent's version.
    AgentVersion,
    /// Who serves the model.
    Provider,
    /// The model that was asked.
    RequestedModel,
    /// The model that answered.
    ServedModel,
    /// The provider's id of the answer.
    ResponseId,
    /// Why the model stopped.
    FinishReasons,
    /// Input tokens in all.
    InputTokens,
    /// Output tokens in all.
    OutputTokens,
    /// Input tokens that came from a cache.
    CachedTokens,
    /// Output tokens spent on reasoning.
    ReasoningTokens,
    /// What the operator told the model.
    System,
    /// The messages that went in.
    Input,
    /// The messages that came out.
    Output,
    /// The text that came out, where messages are not given.
    OutputText,
    /// The tool calls that came out, where messages are not given.
    OutputCalls,
    /// The tool that ran.
    Tool,
    /// The id that the model gave the call.
    CallId,
    /// What the tool was given.
    Arguments,
    /// What the tool gave back.
    Result,
    /// The server that offers the tool.
    Server,
    /// How the tool's run ended.
    ToolStatus,
    /// What went wrong.
    ErrorType,
    /// What was looked for.
    Query,
    /// What was found.
    Documents,
    /// Where it was looked for.
    DataSource,
    /// How many documents were asked for.
    TopK,
    /// The method of an HTTP request.
    Method,
    /// The URL of an HTTP request.
    Url,
    /// The status of an HTTP answer.
    StatusCode,
    /// The service of a call that is no HTTP request.
    Service,
    /// The operation of a call that is no HTTP request.
    Operation,
    /// The id of the record that asked for leave before the call.
    Requested,
    /// The list of tools that a server offers.
    Catalog,
    /// What a person was asked for by a server.
    Elicited,
    /// What the person answered.
    Answered,
}

/// Where a convention comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convention {
    /// OpenTelemetry, today's names.
    Otel,
    /// OpenTelemetry, names that are deprecated and still sent.
    OtelLegacy,
    /// `OpenInference`.
    OpenInference,
    /// `OpenLLMetry`.
    OpenLlmetry,
    /// The AI SDK by Vercel.
    AiSdk,
    /// Names of single products that others read as well.
    Vendor,
    /// The proxies of this project.
    Whence,
}

/// How a value stands in attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As the attribute's value, plain or as JSON text.
    Whole,
    /// Flattened: the attribute's name is a prefix, followed by indices and members.
    Flat,
    /// As a member of the attribute's value, which is an object or its JSON text.
    Member(&'static str),
}

/// One row: a field, and an attribute that it may stand in.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The field.
    pub field: Field,
    /// Whose name it is.
    pub convention: Convention,
    /// The attribute's name, or the prefix of several.
    pub name: &'static str,
    /// How the value stands there.
    pub form: Form,
}

const fn whole(field: Field, convention: Convention, name: &'static str) -> Row {
    Row { field, convention, name, form: Form::Whole }
}

const fn flat(field: Field, convention: Convention, name: &'static str) -> Row {
    Row { field, convention, name, form: Form::Flat }
}

const fn member(
    field: Field,
    convention: Convention,
    name: &'static str,
    member: &'static str,
) -> Row {
    Row { field, convention, name, form: Form::Member(member) }
}

use Convention::{AiSdk, OpenInference, OpenLlmetry, Otel, OtelLegacy, Vendor, Whence};
use Field::{
    Agent, AgentVersion, Answered, Arguments, CachedTokens, CallId, Catalog, DataSource,
    Delegation, Documents, Elicited, ErrorType, FinishReasons, Input, InputTokens, Method,
    Operation, Output, OutputCalls, OutputText, OutputTokens, Provider, Query, ReasoningTokens,
    Requested, RequestedModel, ResponseId, Result as ToolResult, ServedModel, Server, Service,
    Session, StatusCode, System, Tool, ToolStatus, TopK, Url, User, UserType,
};

/// The table.
pub const TABLE: &[Row] = &[
    whole(User, Otel, "user.id"),
    whole(User, Otel, "enduser.id"),
    whole(User, Vendor, "langfuse.user.id"),
    whole(User, OpenLlmetry, "traceloop.association.properties.user_id"),
    whole(User, AiSdk, "ai.telemetry.metadata.userId"),
    whole(User, AiSdk, "ai.telemetry.metadata.user_id"),
    whole(User, OtelLegacy, "gen_ai.user"),
    whole(User, OpenLlmetry, "llm.user"),
    whole(User, Vendor, "mlflow.trace.user"),
    whole(User, Vendor, "langsmith.metadata.user_id"),
    whole(User, Vendor, "langfuse.trace.metadata.langfuse_user_id"),
    member(User, OpenInference, "metadata", "user_id"),
    member(User, OpenInference, "metadata", "userId"),
    whole(User, Otel, "enduser.pseudo.id"),
    whole(UserType, Whence, "user.type"),
    whole(Session, Otel, "session.id"),
    whole(Session, Otel, "gen_ai.conversation.id"),
    whole(Session, Vendor, "langfuse.session.id"),
    whole(Session, OpenLlmetry, "traceloop.association.properties.session_id"),
    whole(Session, AiSdk, "ai.telemetry.metadata.sessionId"),
    whole(Session, AiSdk, "ai.telemetry.metadata.session_id"),
    whole(Session, Vendor, "mlflow.trace.session"),
    whole(Session, Vendor, "langsmith.metadata.session_id"),
    whole(Session, Vendor, "langsmith.metadata.thread_id"),
    whole(Session, OpenLlmetry, "traceloop.association.properties.thread_id"),
    member(Session, OpenInference, "metadata", "session_id"),
    member(Session, OpenInference, "metadata", "sessionId"),
    member(Session, OpenInference, "metadata", "thread_id"),
    whole(Delegation, Whence, "whence.delegation"),
    whole(Agent, Otel, "gen_ai.agent.name"),
    whole(Agent, OpenInference, "agent.name"),
    whole(Agent, OpenLlmetry, "traceloop.association.properties.lc_agent_name"),
    whole(Agent, Otel, "gen_ai.agent.id"),
    whole(AgentVersion, Otel, "gen_ai.agent.version"),
    whole(Provider, Otel, "gen_ai.provider.name"),
    whole(Provider, OtelLegacy, "gen_ai.system"),
    whole(Provider, OpenInference, "llm.provider"),
    whole(Provider, OpenInference, "llm.system"),
    whole(Provider, AiSdk, "ai.model.provider"),
    whole(RequestedModel, Otel, "gen_ai.request.model"),
    whole(RequestedModel, OpenInference, "llm.request.model_name"),
    whole(RequestedModel, OpenInference, "llm.model_name"),
    whole(RequestedModel, AiSdk, "ai.model.id"),
    whole(ServedModel, Otel, "gen_ai.response.model"),
    whole(ServedModel, OpenInference, "llm.response.model_name"),
    whole(ServedModel, AiSdk, "ai.response.model"),
    whole(ResponseId, Otel, "gen_ai.response.id"),
    whole(ResponseId, AiSdk, "ai.response.id"),
    whole(FinishReasons, Otel, "gen_ai.response.finish_reasons"),
    whole(FinishReasons, OpenInference, "llm.finish_reason"),
    whole(FinishReasons, AiSdk, "ai.response.finishReason"),
    whole(InputTokens, Otel, "gen_ai.usage.input_tokens"),
    whole(InputTokens, OtelLegacy, "gen_ai.usage.prompt_tokens"),
    whole(InputTokens, OpenInference, "llm.token_count.prompt"),
    whole(InputTokens, AiSdk, "ai.usage.inputTokens"),
    whole(InputTokens, AiSdk, "ai.usage.promptTokens"),
    whole(OutputTokens, Otel, "gen_ai.usage.output_tokens"),
    whole(OutputTokens, OtelLegacy, "gen_ai.usage.completion_tokens"),
    whole(OutputTokens, OpenInference, "llm.token_count.completion"),
    whole(OutputTokens, AiSdk, "ai.usage.outputTokens"),
    whole(OutputTokens, AiSdk, "ai.usage.completionTokens"),
    whole(CachedTokens, Otel, "gen_ai.usage.cache_read.input_tokens"),
    whole(CachedTokens, OpenInference, "llm.token_count.prompt_details.cache_read"),
    whole(CachedTokens, AiSdk, "ai.usage.cachedInputTokens"),
    whole(ReasoningTokens, Otel, "gen_ai.usage.reasoning.output_tokens"),
    whole(ReasoningTokens, OpenInference, "llm.token_count.completion_details.reasoning"),
    whole(ReasoningTokens, AiSdk, "ai.usage.reasoningTokens"),
    whole(System, Otel, "gen_ai.system_instructions"),
    whole(Input, Otel, "gen_ai.input.messages"),
    flat(Input, OpenInference, "llm.input_messages"),
    whole(Input, AiSdk, "ai.prompt.messages"),
    flat(Input, OpenLlmetry, "gen_ai.prompt"),
    whole(Input, OtelLegacy, "gen_ai.prompt"),
    whole(Input, AiSdk, "ai.prompt"),
    flat(Input, OpenInference, "llm.prompts"),
    whole(Input, Vendor, "pydantic_ai.all_messages"),
    whole(Input, OpenInference, "input.value"),
    whole(Input, OpenLlmetry, "traceloop.entity.input"),
    whole(Output, Otel, "gen_ai.output.messages"),
    flat(Output, OpenInference, "llm.output_messages"),
    flat(Output, OpenLlmetry, "gen_ai.completion"),
    whole(Output, OtelLegacy, "gen_ai.completion"),
    flat(Output, OpenInference, "llm.choices"),
    whole(OutputText, AiSdk, "ai.response.text"),
    whole(OutputText, AiSdk, "ai.response.object"),
    whole(OutputText, Vendor, "final_result"),
    whole(OutputText, OpenInference, "output.value"),
    whole(OutputText, OpenLlmetry, "traceloop.entity.output"),
    whole(OutputCalls, AiSdk, "ai.response.toolCalls"),
    whole(Tool, Otel, "gen_ai.tool.name"),
    whole(Tool, OpenInference, "tool.name"),
    whole(Tool, AiSdk, "ai.toolCall.name"),
    whole(Tool, OpenLlmetry, "traceloop.entity.name"),
    whole(CallId, Otel, "gen_ai.tool.call.id"),
    whole(CallId, OpenInference, "tool.id"),
    whole(CallId, OpenInference, "tool_call.id"),
    whole(CallId, AiSdk, "ai.toolCall.id"),
    whole(Arguments, Otel, "gen_ai.tool.call.arguments"),
    whole(Arguments, Vendor, "tool_arguments"),
    whole(Arguments, AiSdk, "ai.toolCall.args"),
    whole(Arguments, OpenLlmetry, "traceloop.entity.input"),
    whole(Arguments, OpenInference, "input.value"),
    whole(Arguments, Vendor, "gcp.vertex.agent.tool_call_args"),
    whole(ToolResult, Otel, "gen_ai.tool.call.result"),
    whole(ToolResult, Vendor, "tool_response"),
    whole(ToolResult, AiSdk, "ai.toolCall.result"),
    whole(ToolResult, OpenLlmetry, "traceloop.entity.output"),
    whole(ToolResult, OpenInference, "output.value"),
    whole(ToolResult, Vendor, "gcp.vertex.agent.tool_response"),
    whole(Server, Whence, "whence.mcp.server"),
    whole(Server, Vendor, "mcp.server.name"),
    whole(ToolStatus, Vendor, "gen_ai.tool.status"),
    whole(ErrorType, Otel, "error.type"),
    whole(Query, Otel, "gen_ai.retrieval.query.text"),
    whole(Query, OpenInference, "input.value"),
    whole(Query, OpenLlmetry, "traceloop.entity.input"),
    whole(Documents, Otel, "gen_ai.retrieval.documents"),
    flat(Documents, OpenInference, "retrieval.documents"),
    whole(Documents, Whence, "whence.mcp.response"),
    whole(DataSource, Otel, "gen_ai.data_source.id"),
    whole(DataSource, Otel, "mcp.resource.uri"),
    whole(DataSource, Otel, "gen_ai.prompt.name"),
    whole(TopK, Otel, "gen_ai.retrieval.top_k"),
    whole(TopK, OtelLegacy, "gen_ai.request.top_k"),
    whole(Method, Otel, "http.request.method"),
    whole(Method, OtelLegacy, "http.method"),
    whole(Url, Otel, "url.full"),
    whole(Url, OtelLegacy, "http.url"),
    whole(StatusCode, Otel, "http.response.status_code"),
    whole(StatusCode, OtelLegacy, "http.status_code"),
    whole(Service, Otel, "db.system.name"),
    whole(Service, OtelLegacy, "db.system"),
    whole(Service, Otel, "messaging.system"),
    whole(Service, Otel, "rpc.service"),
    whole(Operation, Otel, "db.operation.name"),
    whole(Operation, OtelLegacy, "db.operation"),
    whole(Operation, Otel, "messaging.operation.name"),
    whole(Operation, Otel, "rpc.method"),
    whole(Requested, Whence, "whence.requested"),
    whole(Catalog, Whence, "whence.mcp.tools"),
    whole(Elicited, Whence, "whence.mcp.request"),
    whole(Answered, Whence, "whence.mcp.response"),
];

/// What a span stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A model was asked, and answered.
    Model,
    /// A tool ran.
    Tool,
    /// An agent, a workflow, a step: what other spans are grouped under.
    Agent,
    /// Documents were looked for.
    Retrieval,
    /// A server said which tools it offers.
    Catalog,
    /// A server asked a person for something.
    Elicitation,
    /// Something of a convention for agents that becomes no record.
    Nothing,
}

/// One row: what an attribute's value says about the role of a span.
#[derive(Clone, Copy, Debug)]
pub struct RoleRow {
    /// The attribute.
    pub name: &'static str,
    /// Its value; any value where this is empty. A leading `*` stands for any beginning.
    pub value: &'static str,
    /// The role.
    pub role: Role,
}

const fn role(name: &'static str, value: &'static str, role: Role) -> RoleRow {
    RoleRow { name, value, role }
}

/// The roles. The first row that fits counts.
pub const ROLES: &[RoleRow] = &[
    role("langfuse.observation.type", "generation", Role::Model),
    role("langfuse.observation.type", "tool", Role::Tool),
    role("langfuse.observation.type", "retriever", Role::Retrieval),
    role("langfuse.observation.type", "agent", Role::Agent),
    role("langfuse.observation.type", "chain", Role::Agent),
    role("openinference.span.kind", "LLM", Role::Model),
    role("openinference.span.kind", "TOOL", Role::Tool),
    role("openinference.span.kind", "RETRIEVER", Role::Retrieval),
    role("openinference.span.kind", "AGENT", Role::Agent),
    role("openinference.span.kind", "CHAIN", Role::Agent),
    role("openinference.span.kind", "", Role::Nothing),
    role("mcp.method.name", "tools/call", Role::Tool),
    role("mcp.method.name", "tools/list", Role::Catalog),
    role("mcp.method.name", "elicitation/create", Role::Elicitation),
    role("mcp.method.name", "resources/read", Role::Retrieval),
    role("mcp.method.name", "prompts/get", Role::Retrieval),
    role("gen_ai.operation.name", "chat", Role::Model),
    role("gen_ai.operation.name", "generate_content", Role::Model),
    role("gen_ai.operation.name", "text_completion", Role::Model),
    role("gen_ai.operation.name", "completion", Role::Model),
    role("gen_ai.operation.name", "generate", Role::Model),
    role("gen_ai.operation.name", "execute_tool", Role::Tool),
    role("gen_ai.operation.name", "retrieval", Role::Retrieval),
    role("gen_ai.operation.name", "invoke_agent", Role::Agent),
    role("gen_ai.operation.name", "invoke_workflow", Role::Agent),
    role("gen_ai.operation.name", "", Role::Nothing),
    role("ai.operationId", "*.doGenerate", Role::Model),
    role("ai.operationId", "*.doStream", Role::Model),
    role("ai.operationId", "ai.toolCall", Role::Tool),
    role("ai.operationId", "", Role::Agent),
    role("traceloop.span.kind", "tool", Role::Tool),
    role("traceloop.span.kind", "workflow", Role::Agent),
    role("traceloop.span.kind", "agent", Role::Agent),
    role("traceloop.span.kind", "", Role::Nothing),
    role("llm.request.type", "", Role::Model),
    role("mcp.method.name", "", Role::Nothing),
    role("gen_ai.request.model", "", Role::Model),
];
