//! Downloads from a server on this machine that misbehaves as servers do.
#![cfg(feature = "fetch")]

use sd_data::fetch::{self, Presence, Recipe, RemoteFile, Source};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

const SIZE: usize = 300_000;
/// MD5 of `content()`.
const MD5: &str = "574c4a1f42aa2ef0c4440084e5f44b46";

fn content() -> Vec<u8> {
    (0..SIZE).map(|index| (index * index % 251) as u8).collect()
}

/// How the server answers requests for `/file.bin`.
#[derive(Clone, Copy)]
struct Behaviour {
    /// Bytes of a body after which it closes the connection.
    closes_after: usize,
    ranges: bool,
}

const GOOD: Behaviour = Behaviour { closes_after: usize::MAX, ranges: true };

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
        unpacked: Some("test-10-unpacked".to_owned()),
        files: vec![RemoteFile {
            name: "file.bin".to_owned(),
            md5: MD5.to_owned(),
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
    recipe.files[0].md5 = "0".repeat(32);
    let message = fetch(&recipe, data_dir.path()).unwrap_err();
    assert!(message.contains(MD5) && message.contains(&"0".repeat(32)), "{message}");
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
    assert!(message.contains(MD5) && message.contains("move it away"), "{message}");
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    assert_eq!(fetch::presence(&recipe, data_dir.path()).unwrap(), Presence::Different(path));

    fs::create_dir(data_dir.path().join("test-10-unpacked")).unwrap();
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
    recipe.files[0].md5 = "0".repeat(32);
    // SHA-256 of "abc".
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    recipe.files[0].content_sha256 = Some(sha256.to_owned());
    for (bytes, right) in [
        (gzip(b"abc", 0), Ok(())),
        (gzip(b"abc", 9), Ok(())),
        (gzip(b"abd", 9), Err("unpacked: the sha256")),
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
