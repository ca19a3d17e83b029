//! Attempts to write, read, reach or see what is outside of the sandbox.

use super::*;

#[tokio::test]
async fn nothing_outside_is_written() {
    let place = Place::new(GREETER);
    let runner = runner(&place);
    if confined(&runner).await.is_none() {
        return;
    }
    let outside = place.root().join("../outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("file"), "mine").unwrap();
    let outside = outside.canonicalize().unwrap();
    let script = format!(
        "{ATTEMPT}{}",
        r#"
outside, root = sys.argv[1:]
def write(path, mode="w"):
    with open(path, mode) as file:
        file.write("x")
def by_link():
    os.symlink(outside, "link")
    write("link/new")
def by_hard_link():
    os.link(outside + "/file", "hard")
    write("hard")
def by_descriptor():
    folder = os.open(outside, os.O_PATH)
    write(f"/proc/self/fd/{folder}/new")
def by_open_file():
    file = os.open(outside + "/file", os.O_RDONLY)
    write(f"/proc/self/fd/{file}")
attempt("plain", lambda: write(outside + "/new"))
attempt("append", lambda: write(outside + "/file", "a"))
attempt("dots", lambda: write(os.path.relpath(outside) + "/new"))
attempt("link", by_link)
attempt("hard link", by_hard_link)
attempt("descriptor", by_descriptor)
attempt("open file", by_open_file)
attempt("truncate", lambda: os.truncate(outside + "/file", 0))
attempt("remove", lambda: os.remove(outside + "/file"))
attempt("rename", lambda: os.rename(outside + "/file", "moved"))
attempt("move out", lambda: os.rename("README.md", outside + "/moved"))
attempt("folder", lambda: os.mkdir(outside + "/folder"))
attempt("tree", lambda: write(root + "/README.md"))
attempt("own data", lambda: write("../../approved.json"))
attempt("mount", lambda: call("mount", b"/", b"/", b"none", 4096, None))
"#
    );
    let names = [
        "plain",
        "append",
        "dots",
        "link",
        "hard link",
        "descriptor",
        "open file",
        "truncate",
        "remove",
        "rename",
        "move out",
        "folder",
        "tree",
        "own data",
        "mount",
    ];
    let before = place.tree();
    let arguments = [outside.to_str().unwrap(), runner.root.to_str().unwrap()];
    all_refused(&run(&runner, &python(&script, &arguments)).await, &names);
    assert_eq!(place.tree(), before);
    let left: Vec<_> = std::fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["file"]);
    assert_eq!(std::fs::read_to_string(outside.join("file")).unwrap(), "mine");
}

#[tokio::test]
async fn secrets_and_our_own_files_are_not_read() {
    let place = Place::new(GREETER);
    let runner = runner(&place);
    if confined(&runner).await.is_none() {
        return;
    }
    let home = place.root().join("../home");
    std::fs::create_dir_all(home.join(".ssh")).unwrap();
    std::fs::write(home.join(".ssh/id_ed25519"), "secret").unwrap();
    std::fs::write(home.join(".profile"), "harmless").unwrap();
    std::fs::write(place.config().join("config.toml"), "url = \"secret\"").unwrap();
    std::fs::write(place.data().join("session.jsonl"), "secret").unwrap();
    let script = format!(
        "{ATTEMPT}{}",
        r#"
home, config, data = sys.argv[1:]
read = lambda path: open(path).read()
attempt("key", lambda: read(home + "/.ssh/id_ed25519"))
attempt("names of keys", lambda: os.listdir(home + "/.ssh"))
attempt("configuration", lambda: read(config + "/config.toml"))
attempt("sessions", lambda: read(data + "/session.jsonl"))
attempt("disk", lambda: os.listdir("/dev"))
assert read(home + "/.profile") == "harmless"
assert "OPENAI_API_KEY" not in os.environ and "SOMETHING_ELSE" not in os.environ
assert os.environ["HOME"] != home and os.listdir(os.environ["HOME"]) == []
"#
    );
    let paths = [home, place.config(), place.data()].map(|path| path.canonicalize().unwrap());
    let arguments: Vec<&str> = paths.iter().map(|path| path.to_str().unwrap()).collect();
    let names = ["key", "names of keys", "configuration", "sessions", "disk"];
    all_refused(&run(&runner, &python(&script, &arguments)).await, &names);
}

#[tokio::test]
async fn nobody_outside_is_reached() {
    let place = Place::new(GREETER);
    let runner = runner(&place);
    let Some(confinement) = confined(&runner).await else { return };
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let unix = UnixListener::bind(&path).unwrap();
    let name = format!("countersign-test-{}", std::process::id());
    let abstract_name = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let script = format!(
        "{ATTEMPT}{}",
        r#"
tcp, udp, path, name = sys.argv[1:]
attempt("tcp", lambda: socket.create_connection(("127.0.0.1", int(tcp)), 5))
attempt("unix", lambda: socket.socket(socket.AF_UNIX).connect(path))
attempt("abstract", lambda: socket.socket(socket.AF_UNIX).connect("\0" + name))
attempt("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
attempt("vsock", lambda: socket.socket(socket.AF_VSOCK))
attempt("ring", lambda: call("syscall", 425, 1, ctypes.create_string_buffer(256)))
attempt("away", lambda: socket.create_connection(("192.0.2.1", 80), 5))
try:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", int(udp)))
except OSError:
    pass
one, other = socket.socketpair()
one.send(b"x")
assert other.recv(1) == b"x"
"#
    );
    let (tcp_port, udp_port) = (tcp.local_addr().unwrap().port(), udp.local_addr().unwrap().port());
    let (tcp_port, udp_port) = (tcp_port.to_string(), udp_port.to_string());
    let arguments = [tcp_port.as_str(), &udp_port, path.to_str().unwrap(), &name];
    let names = ["tcp", "unix", "abstract", "packet", "vsock", "ring", "away"];
    all_refused(&run(&runner, &python(&script, &arguments)).await, &names);
    tcp.set_nonblocking(true).unwrap();
    udp.set_nonblocking(true).unwrap();
    unix.set_nonblocking(true).unwrap();
    abstract_name.set_nonblocking(true).unwrap();
    assert!(tcp.accept().is_err() && unix.accept().is_err() && abstract_name.accept().is_err());
    assert!(udp.recv(&mut [0; 8]).is_err());

    // Servers of a check's own work where it has a network of its own.
    if confinement.network == Network::Loopback {
        let script = "import socket\n\
             server = socket.create_server(('127.0.0.1', 0))\n\
             client = socket.create_connection(server.getsockname())\n\
             client.send(b'x')\n\
             assert server.accept()[0].recv(1) == b'x'\n";
        let ran = run(&runner, &python(script, &[])).await;
        assert!(ran.result.passed, "{ran:?}");
    }
}

#[tokio::test]
async fn shared_memory_and_terminals_of_others_are_not_seen() {
    let place = Place::new(GREETER);
    let runner = runner(&place);
    let Some(confinement) = confined(&runner).await else { return };
    let _other = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    if confinement.devices {
        let script = "import multiprocessing, os\n\
             assert os.listdir('/dev/shm') == [], os.listdir('/dev/shm')\n\
             assert os.listdir('/dev/pts') == ['ptmx'], os.listdir('/dev/pts')\n\
             multiprocessing.Lock().acquire()\n\
             os.write(os.openpty()[0], b'x')\n";
        let ran = run(&runner, &python(script, &[])).await;
        assert!(ran.result.passed, "{ran:?}");
    } else {
        let attempts = "attempt('memory', lambda: os.listdir('/dev/shm'))\n\
             attempt('terminals', lambda: os.listdir('/dev/pts'))\n";
        let ran = run(&runner, &python(&format!("{ATTEMPT}{attempts}"), &[])).await;
        all_refused(&ran, &["memory", "terminals"]);
    }
}

#[tokio::test]
async fn other_processes_are_neither_signalled_nor_traced() {
    let place = Place::new(GREETER);
    let runner = runner(&place);
    let Some(confinement) = confined(&runner).await else { return };
    let mut victim = Victim::new();
    let script = format!(
        "{ATTEMPT}{}",
        r#"
victim, signals = int(sys.argv[1]), sys.argv[2] == "true"
if signals:
    attempt("kill", lambda: os.kill(victim, 9))
    attempt("kill the supervisor", lambda: os.kill(os.getppid(), 9))
    attempt("stop the supervisor", lambda: os.kill(os.getppid(), 19))
attempt("trace", lambda: call("ptrace", 16, victim, 0, 0))
attempt("memory", lambda: open(f"/proc/{victim}/mem", "rb").read(1))
attempt("environment", lambda: open(f"/proc/{victim}/environ", "rb").read())
attempt("file", lambda: os.readlink(f"/proc/{victim}/fd/1"))
"#
    );
    let pid = victim.0.id().to_string();
    let ran = run(&runner, &python(&script, &[&pid, &confinement.signals.to_string()])).await;
    let signals: &[&str] = match confinement.signals {
        true => &["kill", "kill the supervisor", "stop the supervisor"],
        false => &[],
    };
    all_refused(&ran, &[signals, &["trace", "memory", "environment", "file"]].concat());
    assert!(victim.0.try_wait().unwrap().is_none(), "the victim still lives");
}

/// A process of ours that is nobody's business.
struct Victim(std::process::Child);

impl Victim {
    fn new() -> Victim {
        let mut command = std::process::Command::new("sleep");
        command.arg("600").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Victim(command.spawn().unwrap())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
