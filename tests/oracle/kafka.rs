//! Apache Kafka itself: one broker in KRaft mode, from the jars that Maven brings, with its defaults and a receiver of
//! clients' metrics.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use millstream_protocol::message::init_producer_id::InitProducerIdRequest;
use millstream_tests::process::{free_address, scratch_folder, tied_to_this_thread};
use millstream_tests::wire::Connection;

/// A running broker, and the scratch directory that goes with it.
pub struct Kafka {
    folder: PathBuf,
    address: SocketAddr,
    child: Child,
}

impl Kafka {
    /// Starts a broker with these settings over an empty directory and waits until it has given out a producer id,
    /// which is the last thing that a new one learns to do.
    pub fn start(set: &[(&str, &str)]) -> Self {
        let folder = scratch_folder();
        let class_path = with_receiver(&class_path(), &folder);
        let address = free_address();
        let properties = folder.join("server.properties");
        fs::write(&properties, settings(&folder, address, free_address(), set)).expect("a scratch file");
        let log = File::create(folder.join("kafka.log")).expect("a log file");
        let java = |class: &str, arguments: &[&str]| {
            let mut command = tied_to_this_thread("java");
            command
                .args([
                    "-Xmx512m",
                    "-XX:+UseSerialGC",
                    "-XX:TieredStopAtLevel=1",
                    "-cp",
                    &class_path,
                    class,
                ])
                .args(arguments)
                .arg(&properties)
                .stdin(Stdio::null())
                .stdout(log.try_clone().expect("a second handle"))
                .stderr(log.try_clone().expect("a third handle"));
            command
        };
        // With eligible leader replicas (KIP-966) the format writes configs of its own.
        let format = [
            "format",
            "-t",
            CLUSTER_ID,
            "--feature",
            "eligible.leader.replicas.version=0",
            "-c",
        ];
        let formatted = java("kafka.tools.StorageTool", &format).status();
        assert!(
            formatted.is_ok_and(|status| status.success()),
            "the storage tool fails: {}",
            said(&folder)
        );
        let child = java("kafka.Kafka", &[]).spawn().expect("java can be run");
        let mut kafka = Self {
            folder,
            address,
            child,
        };
        kafka.wait();
        kafka
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn wait(&mut self) {
        let until = Instant::now() + READY_MAX;
        while !is_ready(self.address) {
            let ended = self.child.try_wait().expect("a child");
            assert!(
                ended.is_none() && Instant::now() < until,
                "Kafka does not answer:\n{}",
                said(&self.folder)
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        fs::remove_dir_all(&self.folder).expect("a scratch folder can be removed");
    }
}

/// Kafka's defaults, but for what one broker on this machine needs.
fn settings(folder: &Path, broker: SocketAddr, controller: SocketAddr, set: &[(&str, &str)]) -> String {
    let set: String = set
        .iter()
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    let needed = format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@{controller}\n\
         listeners=PLAINTEXT://{broker},CONTROLLER://{controller}\n\
         advertised.listeners=PLAINTEXT://{broker}\n\
         controller.listener.names=CONTROLLER\n\
         log.dirs={}\n\
         metric.reporters=Receiver\n",
        folder.join("data").display()
    );
    needed + &set
}

/// What Maven says the jars are; it fetches those that are not in its local repository. Asked once for each change of
/// the room's `pom.xml`.
fn class_path() -> String {
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle/pom.xml");
    let test = std::env::current_exe().expect("a test has a path");
    let kept = test.with_file_name("oracle.classpath");
    let changed = |path: &Path| fs::metadata(path).and_then(|it| it.modified()).ok();
    if changed(&kept) <= changed(&pom) {
        let status = Command::new("mvn")
            .args(["-q", "-B", "-f"])
            .arg(&pom)
            .arg("dependency:build-classpath")
            .arg(format!("-Dmdep.outputFile={}", kept.display()))
            .stdin(Stdio::null())
            .status()
            .expect("Maven is installed (Debian: maven)");
        assert!(status.success(), "Maven brings no Kafka");
    }
    let class_path = fs::read_to_string(&kept).expect("Maven's list of jars");
    let missing = class_path.split(':').find(|jar| !Path::new(jar).exists());
    assert_eq!(missing, None, "a jar is gone: remove {}", kept.display());
    class_path
}

/// The class path with the receiver of clients' metrics, which is compiled here.
fn with_receiver(class_path: &str, folder: &Path) -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle/Receiver.java");
    let status = Command::new("javac")
        .args(["-proc:none", "-cp", class_path, "-d"])
        .arg(folder)
        .arg(&source)
        .status()
        .expect("a JDK is installed (Debian: default-jdk-headless)");
    assert!(status.success(), "{} does not compile", source.display());
    format!("{}:{class_path}", folder.display())
}

fn is_ready(address: SocketAddr) -> bool {
    let asked = Connection::open(address)
        .and_then(|mut connection| connection.call(&InitProducerIdRequest::default(), 4));
    asked.is_ok_and(|reply| reply.read::<InitProducerIdRequest<'_>>().error_code == 0)
}

fn said(folder: &Path) -> String {
    fs::read_to_string(folder.join("kafka.log")).unwrap_or_default()
}

/// Any will do.
const CLUSTER_ID: &str = "bWlsbHN0cmVhbS1vcmFjbA";
const READY_MAX: Duration = Duration::from_secs(120);
