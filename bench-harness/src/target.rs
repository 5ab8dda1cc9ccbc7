//! What a run is aimed at: a broker of our own making, one that runs already, or the bare loop.
//! Invariant: a process that was started here is gone when its handle is dropped, and when this process ends,
//! even by SIGKILL.

use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::broker_status::BrokerStatus;
use rustix::process::{Pid, Signal, kill_process};

/// A server to load.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub address: SocketAddr,
    /// Process to sample, where it is known.
    pub pid: Option<u32>,
}

/// How to start a broker.
#[derive(Clone, Debug)]
pub struct BrokerCommand {
    pub binary: PathBuf,
    pub data_dir: PathBuf,
    /// Value of the broker's `--cores`, its default when `None`.
    pub cores: Option<String>,
    /// Further arguments of `start`, as they are.
    pub arguments: Vec<String>,
}

/// A broker process that was started here.
#[derive(Debug)]
pub struct Broker {
    process: Process,
    address: SocketAddr,
    log: PathBuf,
}

impl Broker {
    /// Start on a free port of the loopback address. Its output goes to [`BrokerCommand::log`].
    /// The kernel kills it when the calling thread ends, so call it from one that lasts as long as the broker.
    pub fn start(command: &BrokerCommand) -> io::Result<Self> {
        let address = free_address()?;
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(command.log())?;
        let mut start = Command::new(std::env::current_exe()?);
        start
            .arg("end-with-parent")
            .arg("--parent")
            .arg(std::process::id().to_string())
            .arg("--")
            .arg(&command.binary)
            .arg("start")
            .arg("--data-dir")
            .arg(&command.data_dir)
            .arg("--listen")
            .arg(address.to_string())
            .args(["--log-format", "json"]);
        if let Some(cores) = &command.cores {
            start.arg("--cores").arg(cores);
        }
        start
            .args(&command.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let process = Process::spawn(&mut start)?;
        Ok(Broker {
            process,
            address,
            log: command.log(),
        })
    }

    /// Asks the broker what its shards hold.
    pub fn status(&self) -> io::Result<BrokerStatus> {
        let from = std::fs::metadata(&self.log)?.len();
        self.process.signal(Signal::USR1)?;
        BrokerStatus::read(&self.log, from, STATUS_PATIENCE)
    }

    pub fn target(&self) -> Target {
        Target {
            address: self.address,
            pid: Some(self.process.pid()),
        }
    }

    /// Wait until the broker accepts a connection, or has ended, or `patience` is over.
    pub fn wait_until_listening(&mut self, patience: Duration) -> io::Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            if TcpStream::connect(self.address).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.process.child.try_wait()? {
                return Err(io::Error::other(format!(
                    "the broker ended at once: {status}; see {}",
                    self.log.display()
                )));
            }
            if Instant::now() > deadline {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("the broker does not listen; see {}", self.log.display()),
                ));
            }
            std::thread::sleep(CONNECT_PAUSE);
        }
    }

    /// SIGTERM, then wait. Returns how the process ended and how long it took.
    pub fn terminate(mut self, patience: Duration) -> io::Result<(ExitStatus, Duration)> {
        let asked = Instant::now();
        self.process.signal(Signal::TERM)?;
        loop {
            if let Some(status) = self.process.child.try_wait()? {
                return Ok((status, asked.elapsed()));
            }
            if asked.elapsed() > patience {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the broker did not end after SIGTERM",
                ));
            }
            std::thread::sleep(CONNECT_PAUSE);
        }
    }

    /// SIGKILL, then wait.
    pub fn kill(mut self) -> io::Result<()> {
        self.process.child.kill()?;
        self.process.child.wait().map(|_| ())
    }
}

impl BrokerCommand {
    /// The same broker on an empty data directory beside this one.
    pub fn aside(&self, name: &str) -> io::Result<BrokerCommand> {
        let data_dir = self.data_dir.join(name);
        if data_dir.exists() {
            return Err(io::Error::other(format!("{} exists already", data_dir.display())));
        }
        std::fs::create_dir_all(&self.data_dir)?;
        Ok(BrokerCommand {
            data_dir,
            ..self.clone()
        })
    }

    /// Where the broker's output goes: beside the data directory.
    pub fn log(&self) -> PathBuf {
        self.data_dir.with_extension("log")
    }
}

/// What a bare loop does with what it receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BareMode {
    /// Receive and answer: no CRC, no disk.
    Network,
    /// Check, write in the loop, answer.
    Inline,
    /// Check, write on a second thread while receiving goes on, answer.
    Overlapped,
    /// Check, write while receiving goes on, answer, all on the broker's own ring. Never counts as the roofline.
    Ring,
    /// Send bytes from memory to whoever connects.
    Stream,
}

/// A bare loop in a process of its own.
#[derive(Debug)]
pub struct BareLoop {
    process: Process,
    address: SocketAddr,
}

impl BareLoop {
    /// Start this very program as a bare loop; its file lies in `scratch`.
    pub fn start(mode: BareMode, scratch: &Path) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("bare-loop")
            .arg("--mode")
            .arg(format!("{mode:?}").to_lowercase())
            .arg("--scratch")
            .arg(scratch);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::spawn(&mut command)?;
        let mut line = String::new();
        if let Some(stdout) = process.child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = line
            .trim()
            .parse()
            .map_err(|_| io::Error::other("the bare loop did not start"))?;
        Ok(BareLoop { process, address })
    }

    pub fn target(&self) -> Target {
        Target {
            address: self.address,
            pid: Some(self.process.pid()),
        }
    }
}

/// A running broker.
pub fn attach(brokers: &str, pid: Option<u32>) -> io::Result<Target> {
    let first = brokers.split(',').next().unwrap_or_default().trim();
    let address = first
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::other(format!("{first}: no address")))?;
    Ok(Target { address, pid })
}

/// A child that is killed when its handle goes.
#[derive(Debug)]
struct Process {
    child: Child,
}

impl Process {
    /// In a process group of its own, so that Ctrl-C in the terminal reaches only the generator, which then
    /// reports.
    fn spawn(command: &mut Command) -> io::Result<Self> {
        let child = command.process_group(0).spawn().map_err(|error| {
            let program = command.get_program().to_string_lossy().into_owned();
            io::Error::new(error.kind(), format!("{program}: {error}"))
        })?;
        Ok(Process { child })
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when the child is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

const STATUS_PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks at a process that starts or ends; it bounds how exactly a start is timed.
const CONNECT_PAUSE: Duration = Duration::from_millis(1);
