//! The server: a thread with a small runtime of its own, so that no request ever shares a thread with records.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tower_http::timeout::{RequestBodyTimeoutLayer, TimeoutLayer};

use super::guard::{self, Guard};
use super::problem::{self, Problem};
use super::{Api, routes};

/// The largest body that is not a component.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Connections at a time; more wait to be taken. A client that does nothing loses its own within seconds.
const CONNECTIONS_MAX: usize = 256;

/// A client that sends nothing of a body for this long is given up.
const BODY_IDLE_MAX: Duration = Duration::from_secs(15);

/// A client that does not finish its headers in this time is given up.
const HEADERS_MAX: Duration = Duration::from_secs(10);

/// The longest answer: a roll-out that is waited for takes 75 s at most.
const ANSWER_MAX: Duration = Duration::from_secs(90);

/// Where the interface listens, and for whom.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    pub address: SocketAddr,
    /// Needed to listen beyond this machine.
    pub token: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("the interface cannot listen on {address}: {error}; set `[host] http` to another address")]
    Listen { address: SocketAddr, error: std::io::Error },
    #[error(
        "the interface would listen beyond this machine, on {0}, without a token: set WASMILL_TOKEN, or `[host] http` to 127.0.0.1:PORT"
    )]
    Open(SocketAddr),
    #[error("the system: {0}")]
    System(#[from] std::io::Error),
}

/// Has the address, and serves nobody yet: what is wrong with it is found before anything else starts.
#[derive(Debug)]
pub struct Listener {
    listener: std::net::TcpListener,
    address: SocketAddr,
    token: Option<String>,
}

impl Listener {
    /// # Errors
    /// The address cannot be listened on, or would be open to everybody.
    pub fn bind(settings: ApiSettings) -> Result<Self, ApiError> {
        let ApiSettings { address, token } = settings;
        if !address.ip().is_loopback() && token.is_none() {
            return Err(ApiError::Open(address));
        }
        let listener = std::net::TcpListener::bind(address).map_err(|error| ApiError::Listen { address, error })?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, token })
    }
}

/// The running interface.
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves what a listener takes, on a thread of its own.
    ///
    /// # Errors
    /// The machine gives no thread.
    pub fn start(listener: Listener, api: Api) -> Result<Self, ApiError> {
        let Listener { listener, address, token } = listener;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let router = router(api, Guard { token });
        let body = move || {
            let served = runtime.block_on(async {
                tokio::select! {
                    result = serve(listener, router) => result,
                    _ = stopped => Ok(()),
                }
            });
            if let Err(error) = served {
                tracing::error!(%error, "the interface has ended");
            }
            // Orders that still run must not keep the host from stopping.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("http".into()).spawn(body)?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the interface panicked");
        }
    }
}

fn router(api: Api, guard: Guard) -> Router {
    let (router, _) = routes(api);
    router
        .fallback(|| async { Problem::unknown("no such route: GET /v1/openapi.json lists them") })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(RequestBodyTimeoutLayer::new(BODY_IDLE_MAX))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, ANSWER_MAX))
        .layer(middleware::map_response(problem::always))
        .layer(middleware::from_fn_with_state(guard, guard::check))
}

async fn serve(listener: std::net::TcpListener, router: Router) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = places.clone().acquire_owned().await.expect("it is never closed");
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or a client that went away again: others still come.
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            // Without this, a client that sends nothing is waited for until it goes.
            let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
            builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS_MAX);
            if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(error = %error, "a connection ended");
            }
            drop(place);
        });
    }
}

/// After a connection that could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
