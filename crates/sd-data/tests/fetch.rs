//! Downloads from a server on this machine that misbehaves as servers do.
#![cfg(feature = "fetch")]

use sd_data::fetch::{self, Presence, Recipe, RemoteFile, Source, Unpacked};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

const SIZE: usize = 300_000;
/// SHA-256 of `content()`.
const SHA256: &str = "fa7deae4b0504401a056ca3b1e6007902a7e681efda07fd7ca8819760caeff95";

fn content() -> Vec<u8> {
    (0..SIZE).map(|index| (index * index % 251) as u8).collect()
}

/// How the server answers requests for `/file.bin`.
#[derive(Clone, Copy)]
struct Behaviour {
    /// Bytes of a body after which it closes the connection.
    closes_after: usize,
    ranges: bool,
    /// Answers every request with a page, as the gate of a network does.
    gated: bool,
    /// Before each body.
    waits: Duration,
}

const GOOD: Behaviour =
    Behaviour { closes_after: usize::MAX, ranges: true, gated: false, waits: Duration::ZERO };

struct Server {
    address: String,
    /// The `Range` header of each request.
    requests: Arc<Mutex<Vec<Option<String>>>>,
}

/// Serves until the test's process ends.
fn serve(behaviour: Behaviour) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&requests);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that disconnects is no failure of the server.
            let _ = answer(stream.unwrap(), behaviour, &log);
        }
    });
    Server { address, requests }
}

fn answer(
    mut stream: TcpStream,
    behaviour: Behaviour,
    log: &Mutex<Vec<Option<String>>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut range = None;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("range: ") {
            range = Some(value.to_owned());
        }
    }
    log.lock().unwrap().push(range.clone());
    if !request.starts_with("GET /file.bin ") {
        let body = "not here";
        return write!(
            stream,
            "HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
    }
    std::thread::sleep(behaviour.waits);
    if behaviour.gated {
        let page = "<html>Please log in</html>";
        let length = page.len();
        return write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{page}");
    }
    let content = content();
    let from: usize = range
        .filter(|_| behaviour.ranges)
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok())
        .unwrap_or(0);
    if from >= content.len() {
        return write!(
            stream,
            "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n",
        content.len() - from
    )?;
    if from > 0 {
        write!(stream, "Content-Range: bytes {from}-{}/{SIZE}\r\n", SIZE - 1)?;
    }
    write!(stream, "\r\n")?;
    let end = content.len().min(from.saturating_add(behaviour.closes_after));
    stream.write_all(&content[from..end])
}

fn recipe(sources: Vec<Source>) -> Recipe {
    Recipe {
        name: "test-10".to_owned(),
        title: "Test-10".to_owned(),
        folder: Some("test-10".to_owned()),
        unpacked: Some(Unpacked {
            folder: "test-10-unpacked".to_owned(),
            files: vec![("names.txt".to_owned(), None), ("a.bin".to_owned(), Some(3))],
        }),
        files: vec![RemoteFile {
            name: "file.bin".to_owned(),
            sha256: SHA256.to_owned(),
            max_bytes: SIZE as u64,
            content_sha256: None,
        }],
        texts: vec![("class_names.txt".to_owned(), "a\nb\n".to_owned())],
        sources,
        advice: "put the file".to_owned(),
    }
}

fn http(server: &Server) -> Recipe {
    recipe(vec![Source::Http(server.address.clone())])
}

fn fetch(recipe: &Recipe, data_dir: &Path) -> Result<(), String> {
    fetch::fetch(recipe, data_dir, &mut |_| {}).map_err(|error| error.to_string())
}

/// The names in the data set's folder.
fn names(data_dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(data_dir.join("test-10")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn assert_fetched(data_dir: &Path) {
    assert!(fs::read(data_dir.join("test-10/file.bin")).unwrap() == content());
    assert_eq!(names(data_dir), ["class_names.txt", "file.bin"]);
}

#[test]
fn fetches_once() {
    let server = serve(GOOD);
    let data_dir = TempDir::new().unwrap();
    let recipe = http(&server);
    assert_eq!(fetch::presence(&recipe, data_dir.path()).unwrap(), Presence::Absent);
    fetch(&recipe, data_dir.path()).unwrap();
    assert_fetched(data_dir.path());
    assert_eq!(fetch::presence(&recipe, data_dir.path()).unwrap(), Presence::Complete);
    fetch(&recipe, data_dir.path()).unwrap();
    assert_eq!(*server.requests.lock().unwrap(), [None], "the second fetch downloads nothing");
}

#[test]
fn resumes_after_a_lost_connection() {
    let server = serve(Behaviour { closes_after: 130_000, ..GOOD });
    let data_dir = TempDir::new().unwrap();
    fetch(&http(&server), data_dir.path()).unwrap();
    assert_fetched(data_dir.path());
    let requests = server.requests.lock().unwrap();
    let expected = [None, Some("bytes=130000-".to_owned()), Some("bytes=260000-".to_owned())];
    assert_eq!(*requests, expected);
}

#[test]
fn resumes_the_part_of_an_earlier_run() {
    let server = serve(GOOD);
    for kept in [100_000, SIZE] {
        let data_dir = TempDir::new().unwrap();
        fs::create_dir(data_dir.path().join("test-10")).unwrap();
        fs::write(data_dir.path().join("test-10/file.bin.part"), &content()[..kept]).unwrap();
        fetch(&http(&server), data_dir.path()).unwrap();
        assert_fetched(data_dir.path());
        let range = format!("bytes={kept}-");
        assert_eq!(server.requests.lock().unwrap().last(), Some(&Some(range)));
    }
}

#[test]
fn restarts_if_the_server_ignores_ranges() {
    let server = serve(Behaviour { ranges: false, ..GOOD });
    let data_dir = TempDir::new().unwrap();
    fs::create_dir(data_dir.path().join("test-10")).unwrap();
    fs::write(data_dir.path().join("test-10/file.bin.part"), [9; 1000]).unwrap();
    fetch(&http(&server), data_dir.path()).unwrap();
    assert_fetched(data_dir.path());
}

#[test]
fn a_kept_part_outlives_an_answer_that_is_not_the_file() {
    let data_dir = TempDir::new().unwrap();
    let part = data_dir.path().join("test-10/file.bin.part");
    fs::create_dir(data_dir.path().join("test-10")).unwrap();
    fs::write(&part, &content()[..100_000]).unwrap();
    let gate = serve(Behaviour { gated: true, ..GOOD });
    let message = fetch(&http(&gate), data_dir.path()).unwrap_err();
    assert!(message.contains(SHA256), "{message}");
    assert!(fs::read(&part).unwrap() == content()[..100_000]);
    assert_eq!(names(data_dir.path()), ["file.bin.part"]);

    let server = serve(GOOD);
    fetch(&http(&server), data_dir.path()).unwrap();
    assert_eq!(*server.requests.lock().unwrap(), [Some("bytes=100000-".to_owned())]);
    assert_fetched(data_dir.path());
}

#[test]
fn a_wrong_part_is_replaced() {
    let server = serve(GOOD);
    let data_dir = TempDir::new().unwrap();
    fs::create_dir(data_dir.path().join("test-10")).unwrap();
    fs::write(data_dir.path().join("test-10/file.bin.part"), [9; 1000]).unwrap();
    fetch(&http(&server), data_dir.path()).unwrap();
    assert_eq!(*server.requests.lock().unwrap(), [Some("bytes=1000-".to_owned()), None]);
    assert_fetched(data_dir.path());
}

#[test]
fn a_longer_file_is_refused() {
    let server = serve(GOOD);
    let origin = TempDir::new().unwrap();
    fs::write(origin.path().join("file.bin"), content()).unwrap();
    for source in [Source::Http(server.address.clone()), Source::Folder(origin.path().to_owned())] {
        let data_dir = TempDir::new().unwrap();
        let mut recipe = recipe(vec![source]);
        recipe.files[0].max_bytes = SIZE as u64 - 1;
        let message = fetch(&recipe, data_dir.path()).unwrap_err();
        assert!(message.contains("file.bin"), "{message}");
        assert!(message.contains("more than 299999 bytes"), "{message}");
        assert_eq!(names(data_dir.path()), [] as [&str; 0]);
    }
}

#[test]
fn one_of_two_fetches_waits_for_the_other() {
    let server = serve(Behaviour { waits: Duration::from_millis(300), ..GOOD });
    let data_dir = TempDir::new().unwrap();
    let recipe = http(&server);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| fetch(&recipe, data_dir.path()).unwrap());
        }
    });
    assert_fetched(data_dir.path());
    assert_eq!(*server.requests.lock().unwrap(), [None], "one download");
}

#[test]
fn gives_up_on_a_server_that_sends_nothing() {
    let server = serve(Behaviour { closes_after: 0, ..GOOD });
    let data_dir = TempDir::new().unwrap();
    let message = fetch(&http(&server), data_dir.path()).unwrap_err();
    assert!(message.contains("connection lost"), "{message}");
    assert_eq!(server.requests.lock().unwrap().len(), 3);
}

#[test]
fn a_wrong_checksum_deletes_the_download() {
    let server = serve(GOOD);
    let data_dir = TempDir::new().unwrap();
    let mut recipe = http(&server);
    recipe.files[0].sha256 = "0".repeat(64);
    let message = fetch(&recipe, data_dir.path()).unwrap_err();
    assert!(message.contains(SHA256) && message.contains(&"0".repeat(64)), "{message}");
    assert_eq!(names(data_dir.path()), [] as [&str; 0]);
}

#[test]
fn existing_files_are_not_replaced() {
    let server = serve(GOOD);
    let data_dir = TempDir::new().unwrap();
    let path = data_dir.path().join("test-10/file.bin");
    fs::create_dir(data_dir.path().join("test-10")).unwrap();
    fs::write(&path, "mine").unwrap();
    let recipe = http(&server);
    let message = fetch(&recipe, data_dir.path()).unwrap_err();
    assert!(message.contains(SHA256) && message.contains("move it away"), "{message}");
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    assert_eq!(fetch::presence(&recipe, data_dir.path()).unwrap(), Presence::Different(path));

    // A folder that was not unpacked to the end is no data set.
    let unpacked = data_dir.path().join("test-10-unpacked");
    fs::create_dir(&unpacked).unwrap();
    fs::write(unpacked.join("names.txt"), "a").unwrap();
    fs::write(unpacked.join("a.bin"), "12").unwrap();
    assert!(fetch(&recipe, data_dir.path()).unwrap_err().contains("move it away"));
    fs::write(unpacked.join("a.bin"), "123").unwrap();
    fetch(&recipe, data_dir.path()).unwrap();
    assert_eq!(fetch::presence(&recipe, data_dir.path()).unwrap(), Presence::Unpacked);
    assert!(server.requests.lock().unwrap().is_empty());
}

#[test]
fn tries_every_source_and_reports_every_reason() {
    let server = serve(GOOD);
    let data_dir = TempDir::new().unwrap();
    // A port that was just closed.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut recipe = recipe(vec![
        Source::Folder("no-such-folder".into()),
        Source::Http(format!("{}/elsewhere", server.address)),
        Source::Http(format!("http://{closed}")),
    ]);
    let message = fetch(&recipe, data_dir.path()).unwrap_err();
    for fact in [
        "cannot fetch Test-10".to_owned(),
        "no-such-folder/file.bin`: ".to_owned(),
        format!("{}/elsewhere/file.bin: the server answers 404 Not Found", server.address),
        format!("http://{closed}/file.bin: no answer"),
        format!("put the file in `{}`", data_dir.path().join("test-10").display()),
    ] {
        assert!(message.contains(&fact), "{fact} is not in\n{message}");
    }
    recipe.sources.push(Source::Http(format!("{}/", server.address)));
    fetch(&recipe, data_dir.path()).unwrap();
    assert_fetched(data_dir.path());
}

#[test]
fn repacked_content_is_accepted() {
    let gzip = |content: &[u8], level| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
        gzip.write_all(content).unwrap();
        gzip.finish().unwrap()
    };
    let origin = TempDir::new().unwrap();
    let mut recipe = recipe(vec![Source::Folder(origin.path().to_owned())]);
    recipe.files[0].sha256 = "0".repeat(64);
    // SHA-256 of "abc".
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    recipe.files[0].content_sha256 = Some(sha256.to_owned());
    for (bytes, right) in [
        (gzip(b"abc", 0), Ok(())),
        (gzip(b"abc", 9), Ok(())),
        (gzip(b"abd", 9), Err("unpacked: a52d159f")),
        (b"abc".to_vec(), Err("cannot be unpacked")),
    ] {
        let data_dir = TempDir::new().unwrap();
        fs::write(origin.path().join("file.bin"), bytes).unwrap();
        match (fetch(&recipe, data_dir.path()), right) {
            (Ok(()), Ok(())) => {}
            (Err(message), Err(fact)) => assert!(message.contains(fact), "{message}"),
            (found, expected) => panic!("found {found:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn the_program_lists_the_published_data_sets() {
    let run = |arguments: &[&str]| {
        let output =
            std::process::Command::new(env!("CARGO_BIN_EXE_sd-data")).args(arguments).output();
        output.unwrap()
    };
    let data_dir = TempDir::new().unwrap();
    let folder = data_dir.path().to_str().unwrap();
    let list = run(&["list", "--data-dir", folder]);
    let text = String::from_utf8(list.stdout).unwrap();
    for Recipe { name, .. } in fetch::published() {
        let advice = format!("absent; fetch it with `cargo xtask data fetch {name}`");
        assert!(text.contains(&advice), "{text}");
    }
    assert_eq!(run(&["fetch", "imagenet"]).status.code(), Some(2));
    let failed = run(&["fetch", "cifar10", "--data-dir", folder, "--from", "no-such-folder"]);
    assert_eq!(failed.status.code(), Some(1));
    let text = String::from_utf8(failed.stderr).unwrap();
    assert!(text.contains("no-such-folder/cifar-10-binary.tar.gz"), "{text}");
}
