//! Talks to the daemon.
//!
//! Format.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Method, Request, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::{net::UnixStream, task::JoinSet, time::timeout};

use super::types::{Problem, Reloaded, Status};

/// How long a running daemon may take to say how things are.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a reload may take: health checks included, and another reload that is under way.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(80);

/// The largest answer that is read.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;

/// A client of one daemon.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// Of the daemon whose control socket is `socket`.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Client { socket: socket.into() }
    }

    /// What the daemon shows.
    ///
    /// # Errors
    ///
    /// When it is not there or does not answer as expected.
    pub async fn status(&self) -> Result<Status, Problem> {
        self.within(ANSWER_TIMEOUT, self.ask(Method::GET, "/v1/status")).await
    }

    /// Reads the configuration again; waits until it is in use.
    ///
    /// # Errors
    ///
    /// When it was refused, with the reasons; what ran before runs on.
    pub async fn reload(&self) -> Result<Reloaded, Problem> {
        // The socket may be there without the daemon: systemd listens on it also while the service is stopped.
        self.status().await?;
        self.within(RELOAD_TIMEOUT, self.ask(Method::POST, "/v1/reload")).await
    }

    async fn within<T>(
        &self,
        limit: Duration,
        answer: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        match timeout(limit, answer).await {
            Ok(answer) => answer,
            Err(_) => {
                let (socket, secs) = (self.socket.display(), limit.as_secs());
                let message = format!("no answer on {socket} within {secs} s: is the daemon running?");
                Err(Problem::new("no_answer", message, 69))
            }
        }
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<T, Problem> {
        let stream =
            UnixStream::connect(&self.socket).await.map_err(|error| unreachable(&self.socket, &error))?;
        let broken = |error: &dyn std::fmt::Display| {
            Problem::new("broken_answer", format!("the daemon broke off its answer: {error}"), 69)
        };
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "qovery")
            .body(Empty::<Bytes>::new())
            .expect("method, path and header are well formed");
        let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_LIMIT).collect().await;
        let body = body.map_err(|error| broken(&error))?.to_bytes();
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| broken(&error));
        }
        Err(serde_json::from_slice(&body)
            .unwrap_or_else(|_| Problem::new("broken_answer", format!("the daemon answered {status}"), 69)))
    }
}

fn unreachable(socket: &Path, error: &io::Error) -> Problem {
    let socket = socket.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            let message = format!("the daemon is not running: nobody listens on {socket}");
            Problem::new("not_running", message, 69)
        }
        io::ErrorKind::PermissionDenied => {
            let message = format!("you may not use {socket}: become root or join its group");
            Problem::new("forbidden", message, 77)
        }
        _ => Problem::new("unreachable", format!("cannot connect to {socket}: {error}"), 69),
    }
}
