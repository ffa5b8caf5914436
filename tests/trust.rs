//! `trust update` and `trust show` against a TUF repository on this machine.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use bonded_testsigner as signer;
use serde_json::Value;
use signer::TufRepository;

use crate::world::{Run, World};

const TARGET: &str = "trusted_root.json";

/// How a server answers for one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Half of it, and then the connection is closed.
    Cut,
    /// Bytes without end.
    Endless,
    /// Nothing, for as long as the client lives.
    Hangs,
    /// Another place.
    Elsewhere,
    /// A server that does not feel well.
    Failing,
}

/// What a server has, and how it answers.
#[derive(Default)]
struct Shelf {
    files: BTreeMap<String, Vec<u8>>,
    faults: BTreeMap<String, Fault>,
    asked: Vec<String>,
}

/// A server for files, which lives as long as the test.
struct Server {
    address: SocketAddr,
    shelf: Arc<Mutex<Shelf>>,
    hanging: Receiver<()>,
}

impl Server {
    fn start(repository: &TufRepository) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shelf = Arc::new(Mutex::new(Shelf::default()));
        let (hangs, hanging) = mpsc::channel();
        let shared = shelf.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (shelf, hangs) = (shared.clone(), hangs.clone());
                thread::spawn(move || answer(stream, &shelf, &hangs));
            }
        });
        let server = Self { address, shelf, hanging };
        server.publish(repository);
        server
    }

    fn publish(&self, repository: &TufRepository) {
        self.shelf.lock().unwrap().files = repository.files();
    }

    /// From now on the file whose name ends so is answered like this, and all others well.
    fn breaks(&self, name: &str, fault: Fault) {
        self.shelf.lock().unwrap().faults = BTreeMap::from([(name.to_owned(), fault)]);
    }

    fn mend(&self) {
        self.shelf.lock().unwrap().faults.clear();
    }

    fn url(&self) -> String {
        format!("http://{}/tuf", self.address)
    }
}

/// One request of one connection. A client that goes away is no failure of the server.
fn answer(mut stream: TcpStream, shelf: &Mutex<Shelf>, hangs: &Sender<()>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    while lines.next().is_some_and(|line| !line.is_empty()) {}
    let name = path.trim_start_matches("/tuf/").to_owned();
    let (bytes, fault) = {
        let mut shelf = shelf.lock().unwrap();
        shelf.asked.push(path);
        let fault = shelf.faults.iter().find(|(end, _)| name.ends_with(end.as_str()));
        (shelf.files.get(&name).cloned(), fault.map(|(_, fault)| *fault))
    };
    drop(match (fault, bytes) {
        (Some(Fault::Hangs), _) => {
            hangs.send(()).unwrap();
            // It is over when the client closes.
            drop(lines.next());
            Ok(())
        }
        (Some(Fault::Elsewhere), _) => respond(&mut stream, "302 Found\r\nLocation: /tuf/x", b""),
        (Some(Fault::Failing), _) => respond(&mut stream, "500 Internal Server Error", b""),
        (Some(Fault::Endless), _) => endless(&mut stream),
        (Some(Fault::Cut), Some(bytes)) => cut(&mut stream, &bytes),
        (None, Some(bytes)) => respond(&mut stream, "200 OK", &bytes),
        (_, None) => respond(&mut stream, "404 Not Found", b""),
    });
}

fn respond(stream: &mut TcpStream, status: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(body)
}

fn cut(stream: &mut TcpStream, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(&body[..length / 2])
}

/// Until the client has had enough of it.
fn endless(stream: &mut TcpStream) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
    loop {
        stream.write_all(&[b' '; 65_536])?;
    }
}

/// A trusted root, and one that names an authority less: the same ones in all tests.
fn roots() -> &'static (Vec<u8>, Vec<u8>) {
    static ROOTS: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let root = signer::World::new().trusted_root();
        let mut value: Value = serde_json::from_slice(&root).unwrap();
        value["timestampAuthorities"].as_array_mut().unwrap().remove(0);
        (root, value.to_string().into_bytes())
    })
}

/// A repository with the first root, its server, and a world that has the TUF root in `root.json`.
fn begin() -> (TufRepository, Server, World) {
    let repository = TufRepository::new(TARGET, &roots().0);
    let server = Server::start(&repository);
    let world = World::new();
    world.write("root.json", repository.root_file());
    (repository, server, world)
}

/// Runs it with a state of its own and arguments split at spaces.
fn run(world: &World, line: &str) -> Run {
    let arguments: Vec<&str> = line.split(' ').collect();
    let mut command = world.command(&arguments);
    Run::of(&command.env("BONDED_STATE", "state").output().unwrap())
}

fn first(world: &World, server: &Server) -> Run {
    run(world, &format!("trust update corp --repository {} --root root.json", server.url()))
}

fn json(world: &World, line: &str) -> Value {
    serde_json::from_str(&run(world, &format!("{line} --format json")).must(0).stdout).unwrap()
}

/// The digest of the root in force, and how many there were.
fn stored(world: &World) -> (String, usize) {
    let shown = json(world, "trust show");
    let corp = &shown["stored"][0];
    let digest = corp["digest"].as_str().unwrap_or_default().to_owned();
    (digest, corp["taken"].as_array().map_or(0, Vec::len))
}

fn digest(bytes: &[u8]) -> String {
    bonded_model::Digest::sha256_of(bytes).to_string()
}

#[test]
fn an_update_tells_what_it_changes_and_keeps_what_was() {
    let (mut repository, server, world) = begin();
    let (one, two) = roots();
    let run_first = first(&world, &server).must(0);
    assert!(run_first.stdout.contains(&format!("  {}, the first one\n", digest(one))));
    assert!(run_first.stdout.contains("  root      version 1, good until 2090-01-01T00:00:00Z\n"));
    let run_first = run_first.says(&["no verdict uses it unless you name it"]);
    run_first.says(&[&format!("--trusted-root stored:{}", digest(one)), "root = \"sha256:"]);
    // Where it is and what it starts from are remembered.
    let again = run(&world, "trust update corp").must(0);
    assert!(again.stdout.contains(&format!("  {}, as before\n", digest(one))));
    repository.rotate_root(&["root 4", "root 5"]);
    repository.publish(TARGET, two);
    server.publish(&repository);
    let changed = run(&world, "trust update corp").must(0).stdout;
    assert!(changed.contains(&format!("  {} -> {}\n", digest(one), digest(two))), "{changed}");
    assert!(changed.contains("  removed  timestamp authority "), "{changed}");
    assert!(changed.contains("  root      version 2, "), "{changed}");
    assert_eq!(stored(&world), (digest(two), 2));
    for (name, bytes) in [("stored:corp", two), (&format!("stored:{}", digest(one)), one)] {
        let shown = json(&world, &format!("trust show {name}"));
        assert_eq!(shown["digest"], digest(bytes), "{name}");
        assert!(shown["members"].as_array().unwrap().len() > 5);
    }
    let told = json(&world, "trust update corp");
    assert_eq!((&told["outcome"], &told["earlier"]), (&"unchanged".into(), &digest(two).into()));
    assert_eq!(told["metadata"]["timestamp"]["version"], 2);
}

#[test]
fn a_repository_in_a_directory() {
    let (mut repository, _server, world) = begin();
    let write = |repository: &TufRepository| {
        repository
            .files()
            .iter()
            .for_each(|(name, bytes)| drop(world.write(&format!("tuf/{name}"), bytes)));
    };
    write(&repository);
    let url = format!("file://{}", world.path("tuf").display());
    run(&world, &format!("trust update corp --repository {url} --root root.json")).must(0);
    repository.publish(TARGET, &roots().1);
    write(&repository);
    run(&world, "trust update corp").must(0);
    assert_eq!(stored(&world), (digest(&roots().1), 2));
    world.write("tuf/timestamp.json", " ".repeat(20_000));
    run(&world, "trust update corp")
        .must(4)
        .says(&["cannot fetch timestamp.json", "run it again later"]);
}

/// An answer that is not good leaves what is stored, and the next good one is taken.
#[test]
fn what_comes_in_badly_changes_nothing() {
    let (mut repository, server, world) = begin();
    first(&world, &server).must(0);
    repository.publish(TARGET, &roots().1);
    server.publish(&repository);
    let before = crate::world::tree(&world.path("state/trust"));
    for (name, fault, says) in [
        ("timestamp.json", Fault::Cut, "cannot fetch timestamp.json"),
        ("2.snapshot.json", Fault::Cut, "cannot fetch 2.snapshot.json"),
        (TARGET, Fault::Cut, "trusted_root.json failed"),
        ("timestamp.json", Fault::Endless, "response exceeds max length 16384"),
        ("2.root.json", Fault::Endless, "response exceeds max length 262144"),
        (TARGET, Fault::Endless, "response exceeds max length"),
        ("2.targets.json", Fault::Elsewhere, "returned status 302"),
        ("2.root.json", Fault::Failing, "returned status 500"),
    ] {
        server.breaks(name, fault);
        let run = run(&world, "trust update corp").must(4);
        run.says(&[
            "cannot update the trusted root corp from http://127.0.0.1",
            says,
            "what is stored is as it was",
        ]);
        assert_eq!(crate::world::tree(&world.path("state/trust")), before, "{name} {fault:?}");
    }
    server.mend();
    run(&world, "trust update corp").must(0);
    assert_eq!(stored(&world), (digest(&roots().1), 2));
}

#[test]
fn a_server_that_is_gone() {
    let (_, server, world) = begin();
    first(&world, &server).must(0);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let line = format!("trust update corp --repository http://{nobody}/");
    run(&world, &line).must(4).says(&["cannot fetch 2.root.json", "run it again later"]);
    assert_eq!(stored(&world), (digest(&roots().0), 1));
    // The place that did not answer is not remembered.
    run(&world, "trust update corp").must(0);
    // Of a repository that was never heard there is nothing to keep, known as it may be to the program.
    let before = crate::world::tree(&world.path("state/trust"));
    let line = format!("trust update staging --repository http://{nobody}/");
    run(&world, &line).must(4).says(&["cannot fetch", "what is stored is as it was"]);
    assert_eq!(crate::world::tree(&world.path("state/trust")), before);
}

#[test]
fn what_does_not_verify_changes_nothing() {
    let (mut repository, server, world) = begin();
    let old = repository.clone();
    repository.publish(TARGET, &roots().0);
    server.publish(&repository);
    first(&world, &server).must(0);
    let refused = |repository: &TufRepository, says: &[&str]| {
        server.publish(repository);
        run(&world, "trust update corp").must(4).says(says).says(&["is stored is as it was"]);
        assert_eq!(stored(&world), (digest(&roots().0), 1));
    };
    refused(&old, &["timestamp.json cannot be believed", "rollback detected for timestamp"]);
    let mut snapshot = repository.clone();
    (snapshot.timestamp.version, snapshot.snapshot.version) = (3, 1);
    refused(&snapshot, &["timestamp.json cannot be believed", "rollback detected for snapshot"]);
    let mut expired = repository.clone();
    expired.timestamp.version = 3;
    expired.timestamp.expires = "2020-01-01T00:00:00Z".to_owned();
    refused(&expired, &["timestamp metadata expired at 2020", "clock is right"]);
    let mut forged = repository.clone();
    forged.timestamp.version = 3;
    forged.timestamp.signers = vec!["stranger".to_owned()];
    refused(&forged, &["threshold not met for role timestamp: 0/1"]);
    let mut useless = repository.clone();
    useless.publish(TARGET, b"{}");
    refused(&useless, &["trusted_root.json of http://", "is no trusted root that can be used"]);
    let mut gone = repository;
    gone.contents.clear();
    gone.publish("other.json", b"{}");
    gone.publish("other.json", b"{}");
    server.publish(&gone);
    run(&world, "trust update corp")
        .must(2)
        .says(&["no target trusted_root.json", "--target PATH"]);
}

/// Those who held the keys before cannot use them again because the new trusted root is of no use.
#[test]
fn a_new_root_stays_if_its_target_cannot_be_used() {
    let (mut repository, server, world) = begin();
    first(&world, &server).must(0);
    let mut old = repository.clone();
    repository.rotate_root(&["root 4", "root 5"]);
    repository.timestamp.keys = vec!["online 2".to_owned()];
    repository.timestamp.signers = repository.timestamp.keys.clone();
    repository.publish(TARGET, b"{}");
    server.publish(&repository);
    run(&world, "trust update corp")
        .must(4)
        .says(&["is no trusted root that can be used", "the newer TUF metadata are kept"]);
    let metadata = &json(&world, "trust show")["stored"][0]["metadata"];
    assert_eq!(
        (&metadata["root"]["version"], &metadata["targets"]["version"]),
        (&2.into(), &2.into())
    );
    assert_eq!(stored(&world), (digest(&roots().0), 1));
    old.publish(TARGET, &roots().1);
    old.publish(TARGET, &roots().1);
    server.publish(&old);
    run(&world, "trust update corp")
        .must(4)
        .says(&["threshold not met for role timestamp: 0/1", "what is stored is as it was"]);
    assert_eq!(stored(&world), (digest(&roots().0), 1));
}

/// A new TUF root stays, and nothing of where the one who gave it is, or what was wanted from there.
#[test]
fn a_place_that_gave_no_target_is_not_remembered() {
    let (mut repository, server, world) = begin();
    first(&world, &server).must(0);
    repository.rotate_root(&["root 4", "root 5"]);
    repository
        .files()
        .iter()
        .for_each(|(name, bytes)| drop(world.write(&format!("tuf/{name}"), bytes)));
    let mirror = format!("file://{}", world.path("tuf").display());
    let line = format!("trust update corp --repository {mirror} --target nope.json");
    run(&world, &line).must(2).says(&["no target nope.json", "the newer TUF metadata are kept"]);
    let shown = &json(&world, "trust show")["stored"][0];
    assert_eq!(shown["metadata"]["root"]["version"], 2);
    assert_eq!((&shown["repository"], &shown["target"]), (&server.url().into(), &TARGET.into()));
    run(&world, "trust update corp").must(0);
}

/// What is stored says nothing by itself: it has to be named.
#[test]
fn a_verdict_records_the_stored_root_that_was_named() {
    let (_, server, world) = begin();
    run(&world, "init store").must(0);
    first(&world, &server).must(0);
    world.release("v1.0.0");
    let verdict = |root: &str| {
        let line = format!("verify demo@v1.0.0 --policy policy.toml --no-record{root}");
        json(&world, &line)["trustRoot"].as_str().unwrap().to_owned()
    };
    let embedded = json(&world, "trust show public-good")["digest"].as_str().unwrap().to_owned();
    assert_eq!(verdict(""), embedded);
    let own = digest(&roots().0);
    assert_eq!(verdict(" --trusted-root stored:corp"), own);
    assert_eq!(verdict(&format!(" --trusted-root stored:{own}")), own);
    world.write("bonded.toml", format!("trusted_roots = [\"stored:{own}\"]\n"));
    assert_eq!(verdict(""), own);
    let line = "verify demo@v1.0.0 --policy policy.toml --trusted-root stored:";
    for (root, code, says) in [
        ("other", 2, "no trusted root other is stored"),
        ("../corp", 2, "neither sha256:"),
        (&digest(b""), 2, "is stored"),
    ] {
        run(&world, &format!("{line}{root}")).must(code).says(&[says, "bonded trust show"]);
    }
    let name = own.trim_start_matches("sha256:");
    world.write(&format!("state/trust/roots/{name}.json"), "{}");
    run(&world, &format!("{line}corp"))
        .must(3)
        .says(&["is damaged: its bytes are sha256:", "bonded trust update fetches it again"]);
}

#[test]
fn what_is_asked_for_wrongly() {
    let (_, server, world) = begin();
    let url = server.url();
    for (line, says) in [
        (
            format!("trust update public-good --repository {url} --root root.json"),
            "the repository public-good starts from another root",
        ),
        (format!("trust update github --repository {url} --root root.json"), "from another root"),
        ("trust update corp".to_owned(), "the address of the repository corp is not known"),
        (
            format!("trust update corp --repository {url}"),
            "the root of the repository corp is not known",
        ),
        ("trust update corp --repository http://example.com".to_owned(), "is no address"),
        (
            format!("trust update corp --repository {url} --root root.json --target ../x"),
            "is no path",
        ),
        ("trust update ../corp".to_owned(), "is no name of a repository"),
        ("trust show stored:corp".to_owned(), "no trusted root corp is stored"),
    ] {
        run(&world, &line).must(2).says(&[says]);
    }
    let missing = format!("trust update corp --repository {url} --root missing.json");
    run(&world, &missing).must(3).says(&["cannot read TUF root missing.json"]);
    world.write("bad.json", "{}");
    let line = format!("trust update corp --repository {url} --root bad.json");
    run(&world, &line).must(2).says(&["the root to start from is no TUF root", "--root FILE"]);
    assert!(server.shelf.lock().unwrap().asked.is_empty());
    first(&world, &server).must(0);
    let mut other = TufRepository::new(TARGET, b"");
    other.root.keys = vec!["x".to_owned(), "y".to_owned()];
    other.root.signers = other.root.keys.clone();
    world.write("other.json", other.root_file());
    run(&world, "trust update corp --root other.json").must(2).says(&["starts from another root"]);
    let without = world.run("trust update corp").must(2);
    without.says(&["no place where anything is kept", "set BONDED_STATE"]);
}

/// What was lost is fetched again, and no lock keeps anybody from it.
#[test]
fn a_damaged_root_is_mended() {
    let (_, server, world) = begin();
    first(&world, &server).must(0);
    let own = digest(&roots().0);
    let file = format!("state/trust/roots/{}.json", own.trim_start_matches("sha256:"));
    let long = "x".repeat(2_000_000);
    for damage in [Some("{}"), Some(&long), None] {
        match damage {
            Some(bytes) => drop(world.write(&file, bytes)),
            None => std::fs::remove_file(world.path(&file)).unwrap(),
        }
        assert_ne!(run(&world, "trust show stored:corp").code, 0);
        assert_eq!(json(&world, "trust update corp")["outcome"], "unchanged");
        assert_eq!(json(&world, "trust show stored:corp")["digest"], own.as_str());
    }
    // One that is not in force any more cannot be compared with, and that is told.
    let mut repository = TufRepository::new(TARGET, &roots().0);
    repository.publish(TARGET, &roots().1);
    server.publish(&repository);
    world.write(&file, &long);
    let text = run(&world, "trust update corp").must(0).stdout;
    assert!(
        text.contains("  the earlier one cannot be read, so nobody can say what changes\n"),
        "{text}"
    );
    world.write("state/trust/repositories/corp.json", "{");
    run(&world, "trust update corp")
        .must(3)
        .says(&["corp.json is damaged", "versions may go back"]);
}

/// Who may write a store may not say which roots there are.
#[test]
fn nothing_is_kept_inside_of_the_store() {
    let (_, server, world) = begin();
    let line = format!("trust update corp --repository {} --root root.json", server.url());
    let arguments: Vec<&str> = line.split(' ').collect();
    let mut command = world.command(&arguments);
    let inside = Run::of(&command.env("BONDED_STATE", "store/state").output().unwrap());
    inside.must(2).says(&["no place where anything is kept", "outside of the store"]);
}

/// The one who is killed while it waits leaves what was there, and no lock.
#[test]
fn a_kill_leaves_the_old_one_in_force() {
    let (mut repository, server, world) = begin();
    first(&world, &server).must(0);
    repository.publish(TARGET, &roots().1);
    server.publish(&repository);
    server.breaks(TARGET, Fault::Hangs);
    let mut child =
        world.command(&["trust", "update", "corp"]).env("BONDED_STATE", "state").spawn().unwrap();
    server.hanging.recv().unwrap();
    // It holds the lock, so that another one has to wait.
    run(&world, "trust update corp --wait 0").must(3).says(&["another update is running"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(stored(&world), (digest(&roots().0), 1));
    server.mend();
    run(&world, "trust update corp").must(0);
    assert_eq!(stored(&world), (digest(&roots().1), 2));
}

#[test]
fn two_updates_at_once_come_one_after_the_other() {
    let (mut repository, server, world) = begin();
    first(&world, &server).must(0);
    repository.publish(TARGET, &roots().1);
    server.publish(&repository);
    let start = || world.command(&["trust", "update", "corp"]).env("BONDED_STATE", "state").spawn();
    let children = [start().unwrap(), start().unwrap(), start().unwrap()];
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(stored(&world), (digest(&roots().1), 2));
}
