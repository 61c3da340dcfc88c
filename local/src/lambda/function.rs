//! A function and its current execution environment, which is replaced when it ends.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::process::{Child, Command};
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::environment::{Environment, Pending};
use super::output::{Line, Output, Stream};
use super::{Exit, InitError, Invocation, Outcome, Settings, Usage, api};
use crate::clock;
use crate::http::{Closing, serve};
use crate::random;
use crate::service_thread::{self, ServiceThread};

/// Maximum time for which the pipes of an ended process are read, because its own children may hold them open.
const PIPES_LINGER: Duration = Duration::from_secs(1);

/// Number of invocations of all functions, which makes request ids unique.
static INVOCATIONS: AtomicU64 = AtomicU64::new(0);

/// A Lambda function whose bootstrap runs as a local process. Dropping the function kills the process.
#[derive(Debug)]
pub struct Function {
    shared: Arc<FunctionState>,
    _thread: ServiceThread,
}

#[derive(Debug)]
struct FunctionState {
    settings: Settings,
    arn: Arc<str>,
    runtime: runtime::Handle,
    output: Output,
    current: Mutex<Option<Running>>,
}

/// An environment, the id of its process, and the task that completes when the process has ended and its pipes are closed.
#[derive(Debug)]
struct Running {
    environment: Arc<Environment>,
    pid: Option<u32>,
    watch: JoinHandle<()>,
}

impl Function {
    /// Starts the function's first environment and waits until its process requests an event.
    ///
    /// # Errors
    /// Returns an error if the process cannot be started, reports an init error, ends, or takes too long.
    pub async fn start(settings: Settings) -> Result<Self, InitError> {
        let thread = ServiceThread::start("lambda").map_err(InitError::NotStarted)?;
        let shared = Arc::new(FunctionState {
            arn: format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{}", settings.name).into(),
            settings,
            runtime: thread.runtime().clone(),
            output: Output::default(),
            current: Mutex::default(),
        });
        let (waiter, ready) = oneshot::channel();
        let running = shared.start_environment(Some(waiter)).map_err(InitError::NotStarted)?;
        *shared.current() = Some(running);
        let ended = || InitError::NotStarted(io::Error::other("the runtime api has ended"));
        ready.await.unwrap_or_else(|_| Err(ended()))?;
        Ok(Self { shared, _thread: thread })
    }

    /// Invokes the function with `payload`, at most 6 MB of JSON. The `timeout` starts when the process receives the event.
    /// Invocations beyond [`max_concurrency`](Self::max_concurrency) wait until another one has ended.
    ///
    /// The event is already submitted when this returns. The future only waits for the result and can be polled on any runtime.
    pub fn invoke(&self, payload: Bytes, timeout: Duration) -> impl Future<Output = Invocation> + Send + use<> {
        let request_id = random::uuid(0, INVOCATIONS.fetch_add(1, Ordering::Relaxed));
        let (reply, invocation) = oneshot::channel();
        let abandoned = Invocation {
            request_id: request_id.clone(),
            outcome: Outcome::Crashed(Exit { status: None, stderr: Vec::new() }),
            duration: Duration::ZERO,
        };
        self.shared.submit(Pending { request_id, payload, timeout, reply });
        async { invocation.await.unwrap_or(abandoned) }
    }

    /// Kills the process and returns the number of invocations in flight. They fail as crashed, and the next invocation starts
    /// a new process.
    pub fn kill(&self) -> usize {
        self.shared.current().as_ref().map_or(0, |running| {
            let working_on = running.environment.in_flight();
            running.environment.kill();
            working_on
        })
    }

    /// Returns the maximum number of concurrent invocations per environment.
    pub fn max_concurrency(&self) -> usize {
        usize::try_from(self.shared.settings.max_concurrency.get()).unwrap_or(usize::MAX)
    }

    /// Returns the time from the start of the current process to its first call of `next`. `None` during initialization and
    /// after the process has ended.
    pub fn init_duration(&self) -> Option<Duration> {
        self.shared.current().as_ref().and_then(|running| running.environment.init_duration())
    }

    /// Returns the resources that the current process has used since its start.
    ///
    /// # Errors
    /// Returns an error if the process has ended.
    pub fn usage(&self) -> io::Result<Usage> {
        let pid = self.shared.current().as_ref().and_then(|running| running.pid);
        Usage::of(pid.ok_or(io::ErrorKind::NotFound)?)
    }

    /// Returns the lines that the function's processes have written since the last call, oldest first. Only the last 100,000
    /// lines are retained.
    ///
    /// A line written just before a response may arrive shortly after it. [`stop`](Self::stop) returns all remaining lines.
    pub fn take_output(&self) -> Vec<Line> {
        self.shared.output.take()
    }

    /// Kills the process and returns every line not yet taken.
    pub async fn stop(self) -> Vec<Line> {
        let running = self.shared.current().take();
        if let Some(Running { environment, watch, .. }) = running {
            environment.kill();
            // a panic of that task has already been reported
            let _ = watch.await;
        }
        self.shared.output.take()
    }
}

impl FunctionState {
    fn current(&self) -> MutexGuard<'_, Option<Running>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Submits `pending` to the current environment, or to a new one.
    fn submit(self: &Arc<Self>, pending: Pending) {
        let mut current = self.current();
        let pending = match &*current {
            Some(running) => match running.environment.submit(pending, clock::now()) {
                Ok(()) => return,
                Err(pending) => pending,
            },
            None => pending,
        };
        match self.start_environment(None) {
            Ok(running) => {
                // if the process has already ended, `pending` is dropped, which its caller sees as a crash
                let _ = running.environment.submit(pending, clock::now());
                *current = Some(running);
            }
            Err(error) => {
                let error_type = "Runtime.InvalidEntrypoint".to_owned();
                pending.end(Outcome::Error { error_type, message: error.to_string() });
            }
        }
    }

    fn start_environment(
        self: &Arc<Self>,
        waiter: Option<oneshot::Sender<Result<(), InitError>>>,
    ) -> io::Result<Running> {
        let (listener, address) = service_thread::listen(&self.runtime, 0)?;
        let started = clock::now();
        let child = {
            let _context = self.runtime.enter();
            self.command(&address.to_string()).spawn()?
        };
        let pid = child.id();
        let environment = Arc::new(Environment::new(self.settings.max_concurrency, started, waiter));
        let server = {
            let (environment, arn) = (Arc::downgrade(&environment), self.arn.clone());
            serve(listener, Closing::Orderly, move |request| {
                let (environment, arn) = (environment.upgrade(), arn.clone());
                async move { api::answer(environment.ok_or(api::EnvironmentEnded)?, arn, request).await }
            })
        };
        let server = self.runtime.spawn(server).abort_handle();
        let (shared, watched) = (self.clone(), environment.clone());
        let watch = self.runtime.spawn(async move {
            let orphans = shared.watch(&watched, child).await;
            server.abort();
            for orphan in orphans {
                shared.submit(orphan);
            }
        });
        Ok(Running { environment, pid, watch })
    }

    /// Waits until `child` ends, or kills it on request or init timeout. Returns the invocations to run in the next process.
    async fn watch(&self, environment: &Environment, mut child: Child) -> Vec<Pending> {
        let stdout = child.stdout.take().map(|pipe| tokio::spawn(self.output.clone().collect(Stream::Stdout, pipe)));
        let stderr = child.stderr.take().map(|pipe| tokio::spawn(self.output.clone().collect(Stream::Stderr, pipe)));
        let out_of_time = async {
            tokio::time::sleep(self.settings.init_timeout).await;
            if !environment.is_starting() {
                std::future::pending::<()>().await;
            }
        };
        let (status, out_of_time) = tokio::select! {
            status = child.wait() => (status, false),
            () = environment.killed() => (kill(&mut child).await, false),
            never = environment.expire() => match never {},
            () = out_of_time => (kill(&mut child).await, true),
        };
        let mut tail = Vec::new();
        for (pipe, is_stderr) in [(stdout, false), (stderr, true)] {
            if let Some(pipe) = pipe
                && let Ok(Ok(lines)) = tokio::time::timeout(PIPES_LINGER, pipe).await
                && is_stderr
            {
                tail = lines;
            }
        }
        environment.end(&Exit { status: status.ok(), stderr: tail }, out_of_time, clock::now())
    }

    fn command(&self, runtime_api: &str) -> Command {
        let Settings { bootstrap, launcher, name, memory_mb, environment, max_concurrency, .. } = &self.settings;
        let task_root = bootstrap.parent().unwrap_or(Path::new("/"));
        let mut command = match launcher.split_first() {
            None => Command::new(bootstrap),
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(bootstrap);
                command
            }
        };
        command.env_clear();
        command.env("AWS_LAMBDA_RUNTIME_API", runtime_api);
        command.env("AWS_LAMBDA_FUNCTION_NAME", name);
        command.env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory_mb.to_string());
        command.env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}"));
        command.env("LAMBDA_TASK_ROOT", task_root);
        command.envs(CONSTANTS.iter().copied());
        if max_concurrency.get() > 1 {
            command.env("AWS_LAMBDA_MAX_CONCURRENCY", max_concurrency.to_string());
        }
        command.envs(environment);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

async fn kill(child: &mut Child) -> io::Result<std::process::ExitStatus> {
    child.start_kill()?;
    child.wait().await
}

/// Region of a function on this machine.
pub const REGION: &str = "us-east-1";
/// Account of a function on this machine.
pub const ACCOUNT: &str = "000000000000";

/// Environment variables that Lambda sets for every function with a custom runtime. The credentials are placeholders.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>
const CONSTANTS: &[(&str, &str)] = &[
    ("AWS_ACCESS_KEY_ID", "local"),
    ("AWS_DEFAULT_REGION", REGION),
    ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
    ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
    ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
    ("AWS_LAMBDA_LOG_LEVEL", "INFO"),
    ("AWS_LAMBDA_LOG_STREAM_NAME", "local"),
    ("AWS_REGION", REGION),
    ("AWS_SECRET_ACCESS_KEY", "local"),
    ("AWS_SESSION_TOKEN", "local"),
    ("LANG", "en_US.UTF-8"),
    ("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin"),
    ("TZ", ":UTC"),
    ("_HANDLER", "bootstrap"),
];
