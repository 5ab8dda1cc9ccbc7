//! The real broker as a process of its own: started, killed and started again over one data directory.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use millstream_protocol::message::api_versions::ApiVersionsRequest;

use crate::wire::Connection;

/// A broker process, and a scratch directory that goes with it.
pub struct Broker {
    folder: PathBuf,
    address: SocketAddr,
    flags: Vec<String>,
    child: Option<Child>,
}

/// Open descriptors of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptors {
    pub sockets: usize,
    /// Files, rings and the like.
    pub files: usize,
}

impl Broker {
    /// Starts a broker over an empty data directory on a free port, and waits until it answers.
    pub fn start(flags: &[&str]) -> Self {
        Self::start_in(scratch_folder(), flags)
    }

    /// As [`Broker::start`], in a folder of the caller's, which is removed with the broker.
    pub fn start_in(folder: PathBuf, flags: &[&str]) -> Self {
        let mut broker = Self {
            folder,
            address: free_address(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            child: None,
        };
        broker.restart();
        broker
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running broker").id()
    }

    /// Starts the process again over the same data, and waits until it says that it is ready; returns the time until
    /// it answered a request, which is a moment earlier.
    pub fn restart(&mut self) -> Duration {
        assert!(self.child.is_none(), "the broker runs already");
        let said = self.log().len();
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.log_path())
            .expect("a log file");
        let started = Instant::now();
        let child = millstream()
            .arg("start")
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(["--listen", &self.address.to_string()])
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the broker starts");
        self.child = Some(child);
        while !answers(self.address) {
            let ended = self
                .child
                .as_mut()
                .expect("started above")
                .try_wait()
                .expect("a child");
            assert!(
                ended.is_none() && started.elapsed() < READY_MAX,
                "the broker does not answer:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        let answered = started.elapsed();
        self.must_say_after(said, "ready on");
        answered
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("a running broker");
        child.kill().expect("a child can be killed");
        child.wait().expect("a child can be waited for");
    }

    /// SIGTERM; returns whether it exited with code 0, and after how long.
    pub fn terminate(&mut self) -> (bool, Duration) {
        let mut child = self.child.take().expect("a running broker");
        let started = Instant::now();
        let sent = Command::new("kill").arg(child.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill(1) works");
        let status = child.wait().expect("a child can be waited for");
        (status.success(), started.elapsed())
    }

    pub fn is_running(&mut self) -> bool {
        let child = self.child.as_mut();
        child.is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Bytes of the process that lie in memory now.
    pub fn resident_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most that it ever was.
    pub fn peak_resident_bytes(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    /// The most counts from now on.
    pub fn forget_peak(&self) {
        // "5" is the peak (proc_pid_clear_refs(5)).
        std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").expect("a process of this user");
    }

    /// What the process has open: sockets, and everything else.
    pub fn descriptors(&self) -> Descriptors {
        let folder = format!("/proc/{}/fd", self.pid());
        let mut open = Descriptors::default();
        for entry in std::fs::read_dir(folder).expect("a process has a list of descriptors") {
            // One that is gone again is not open.
            let Ok(target) = entry.and_then(|entry| std::fs::read_link(entry.path())) else {
                continue;
            };
            match target.to_string_lossy().starts_with("socket:") {
                true => open.sockets += 1,
                false => open.files += 1,
            }
        }
        open
    }

    /// Panics unless the broker's log holds `part`, or does within a moment.
    #[track_caller]
    pub fn must_have_said(&self, part: &str) {
        self.must_say_after(0, part);
    }

    /// As [`Broker::must_have_said`], of what follows the log's first `said` bytes.
    #[track_caller]
    fn must_say_after(&self, said: usize, part: &str) {
        let until = Instant::now() + SAY_MAX;
        while !self.log()[said..].contains(part) {
            assert!(Instant::now() < until, "the log does not say `{part}`");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the broker printed so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn status_bytes(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).expect("a process has a status");
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.expect("a line of the status in KiB") * 1024
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("broker.log")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
        if std::thread::panicking() {
            eprintln!("the broker said:\n{}", self.log());
        }
        std::fs::remove_dir_all(&self.folder).expect("a scratch folder can be removed");
    }
}

fn answers(address: SocketAddr) -> bool {
    let asked = Connection::open(address)
        .and_then(|mut connection| connection.call(&ApiVersionsRequest::default(), 0));
    asked.is_ok()
}

/// The broker's binary, to be given arguments; nothing of the caller's environment configures it. It is killed when
/// the calling thread ends, so that a test that is killed leaves nothing behind.
pub fn millstream() -> Command {
    let mut command = tied_to_this_thread(binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MILLSTREAM_") {
            command.env_remove(name);
        }
    }
    command
}

/// What a command of the tool prints about a broker; it must end well.
pub fn tool(broker: &Broker, arguments: &[&str]) -> String {
    let output = millstream()
        .args(arguments)
        .args(["--brokers", &broker.address().to_string()])
        .output()
        .expect("the tool can be run");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

/// A command that is killed when the calling thread ends, however it ends.
pub fn tied_to_this_thread(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(profile_dir().join("end-with-starter"));
    command.arg(std::process::id().to_string()).arg(program);
    command
}

/// What became of a broker that must not start: its exit code and what it said. Panics if it runs on.
pub fn refused(mut command: Command) -> (Option<i32>, String) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a command that can be run");
    let mut stderr = child.stderr.take().expect("a pipe");
    let said = std::thread::spawn(move || {
        let mut text = String::new();
        let _ = stderr.read_to_string(&mut text);
        text
    });
    let until = Instant::now() + REFUSE_MAX;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break Some(status);
        }
        if Instant::now() >= until {
            child.kill().expect("a child can be killed");
            child.wait().expect("a child can be waited for");
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let said = said.join().expect("a reader");
    let status = status.unwrap_or_else(|| panic!("it runs on, and said:\n{said}"));
    (status.code(), said)
}

/// The broker's binary: what MILLSTREAM_BINARY names, or one built by the same cargo, profile and target
/// directory as this test.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(named) = std::env::var_os("MILLSTREAM_BINARY") {
            return PathBuf::from(named);
        }
        let profile_dir = profile_dir();
        let mut build = Command::new(env!("CARGO"));
        build.args([
            "build",
            "--quiet",
            "--package",
            "millstream",
            "--bin",
            "millstream",
        ]);
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        build
            .arg("--target-dir")
            .arg(profile_dir.parent().expect("a target directory"));
        if profile_dir.ends_with("release") {
            build.arg("--release");
        }
        assert!(
            build.status().expect("cargo runs").success(),
            "the broker does not build"
        );
        profile_dir.join("millstream")
    })
}

/// Where cargo puts this package's binaries, and the broker's.
fn profile_dir() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.ancestors().nth(2).expect("target/PROFILE/deps/test");
    folder.to_path_buf()
}

/// An empty directory on a file system that takes direct writes: below MILLSTREAM_SCRATCH or the build's own
/// directory.
pub fn scratch_folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let test = std::env::current_exe().expect("a test has a path");
    let parent = std::env::var_os("MILLSTREAM_SCRATCH").map_or_else(
        || test.parent().expect("a test lies in a folder").to_path_buf(),
        PathBuf::from,
    );
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = parent.join(format!("scratch-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a scratch folder");
    folder
}

/// A free port below those that the system gives to outgoing connections: a client that tries to reach a
/// broker that is down could otherwise be given the broker's own port, and connect to itself.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(61);
    loop {
        let step =
            first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % u32::from(PORTS.end - PORTS.start);
        let port = PORTS.start + u16::try_from(step).expect("within the range of ports");
        if let Ok(probe) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return probe.local_addr().expect("a bound address");
        }
    }
}

const PORTS: Range<u16> = 20_000..32_000;
const READY_MAX: Duration = Duration::from_secs(120);
const REFUSE_MAX: Duration = Duration::from_secs(30);
const SAY_MAX: Duration = Duration::from_secs(30);
