//! The one table: path, access, what it does.

use axum::{
    Extension, Json, Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use tokio::sync::{mpsc, oneshot};

use super::{
    access::{Access, Peer, Policy},
    types::{Problem, Reloaded, Status},
};

/// What clients may ask the daemon to do.
#[derive(Debug)]
pub enum Command {
    /// Say how things are.
    Status(oneshot::Sender<Status>),
    /// Read the configuration again; the answer comes when it is in use, or refused.
    Reload(oneshot::Sender<Result<Reloaded, Problem>>),
}

/// The API's way to the daemon. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    /// Where commands go. Bounded: when it is full, clients wait.
    pub commands: mpsc::Sender<Command>,
    /// Who may do what.
    pub policy: Policy,
}

/// One line of the table.
pub struct Route {
    /// The path.
    pub path: &'static str,
    /// What it needs.
    pub access: Access,
    handler: fn() -> MethodRouter<Handle>,
}

/// All of the API. Reading it is the security review.
pub const ROUTES: &[Route] = &[
    Route { path: "/v1/status", access: Access::Read, handler: || get(status) },
    Route { path: "/v1/reload", access: Access::Admin, handler: || post(reload) },
];

/// The table as a service. Each request must carry its peer as an extension.
pub fn router(handle: Handle) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let (access, policy) = (route.access, handle.policy.clone());
        let guard = axum::middleware::from_fn(
            move |request: axum::extract::Request, next: axum::middleware::Next| {
                let policy = policy.clone();
                async move {
                    let peer = request.extensions().get::<Option<Peer>>().cloned().flatten();
                    if policy.allows(access, peer.as_ref()) {
                        next.run(request).await
                    } else {
                        let message = "this needs root, the daemon's user or its group";
                        answer(StatusCode::FORBIDDEN, Problem::new("forbidden", message, 77))
                    }
                }
            },
        );
        router = router.route(route.path, (route.handler)().layer(guard));
    }
    router.fallback(not_found).method_not_allowed_fallback(wrong_method).with_state(handle)
}

async fn status(axum::extract::State(handle): axum::extract::State<Handle>) -> Response {
    match handle.ask(Command::Status).await {
        Some(status) => Json(status).into_response(),
        None => stopping(),
    }
}

async fn reload(
    axum::extract::State(handle): axum::extract::State<Handle>,
    Extension(peer): Extension<Option<Peer>>,
) -> Response {
    tracing::info!(uid = peer.map(|peer| peer.uid), "asked to reload over the control socket");
    match handle.ask(Command::Reload).await {
        Some(Ok(reloaded)) => Json(reloaded).into_response(),
        Some(Err(problem)) => answer(StatusCode::UNPROCESSABLE_ENTITY, problem),
        None => stopping(),
    }
}

impl Handle {
    /// Sends a command and waits for its answer; `None` when the daemon is ending.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        self.commands.send(command(sender)).await.ok()?;
        receiver.await.ok()
    }
}

fn stopping() -> Response {
    answer(StatusCode::SERVICE_UNAVAILABLE, Problem::new("stopping", "the daemon is stopping", 69))
}

async fn not_found() -> Response {
    answer(StatusCode::NOT_FOUND, Problem::new("not_found", "there is nothing at this path", 69))
}

async fn wrong_method() -> Response {
    let message = "this path does not know this method";
    answer(StatusCode::METHOD_NOT_ALLOWED, Problem::new("method_not_allowed", message, 69))
}

fn answer(status: StatusCode, problem: Problem) -> Response {
    (status, Json(problem)).into_response()
}
