//! What every backend promises. Run on the double in memory from here, and on directories and buckets
//! from inside the crate, because nobody outside gets at their backends.

use bonded_mirror::{Backend, Expected, FaultKind, Put};
use bytes::Bytes;

/// Whether a backend can refuse to replace what somebody else has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "directories are looked at from inside the crate alone")]
pub(crate) enum Conditional {
    Yes,
    No,
}

pub(crate) async fn check(backend: &dyn Backend, conditional: Conditional) {
    immutable_objects(backend).await;
    listing(backend).await;
    hostile_names(backend).await;
    large_objects(backend).await;
    mutable_objects(backend, conditional).await;
}

async fn read(backend: &dyn Backend, key: &str) -> Option<Vec<u8>> {
    let mut chunks = backend.read(key).await.unwrap()?;
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await.unwrap() {
        bytes.extend_from_slice(&chunk);
    }
    assert_eq!(chunks.seen().size, u64::try_from(bytes.len()).unwrap());
    Some(bytes)
}

async fn immutable_objects(backend: &dyn Backend) {
    assert_eq!(backend.head("new/a").await.unwrap(), None);
    assert_eq!(read(backend, "new/a").await, None);
    let put = |bytes: &'static [u8]| backend.put_new("new/a", Bytes::from_static(bytes));
    assert_eq!(put(b"one").await.unwrap(), Put::Created);
    assert_eq!(put(b"two!").await.unwrap(), Put::AlreadyThere);
    assert_eq!(read(backend, "new/a").await.unwrap(), b"one");
    assert_eq!(backend.head("new/a").await.unwrap().unwrap().size, 3);
    backend.put_new("new/empty", Bytes::new()).await.unwrap();
    assert_eq!(read(backend, "new/empty").await.unwrap(), b"");
}

async fn listing(backend: &dyn Backend) {
    assert_eq!(backend.list("list/").await.unwrap(), []);
    for key in ["list/a", "list/b/c", "lister/d", "list.txt"] {
        backend.put_new(key, Bytes::from_static(b"x")).await.unwrap();
    }
    let mut found = backend.list("list/").await.unwrap();
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["list/a", "list/b/c"]);
    for (key, seen) in found {
        let head = backend.head(&key).await.unwrap().unwrap();
        assert_eq!(seen.size, 1);
        if let (Some(listed), Some(asked)) = (seen.etag, head.etag) {
            assert_eq!(listed, asked);
        }
    }
}

async fn hostile_names(backend: &dyn Backend) {
    let names = [
        "odd/linux amd64/<demo> & 'co'",
        "odd/100%25 %2e%2e",
        "odd/a+b=c?d#e",
        "odd/~[x]{y}^`|\"",
        "odd/größe/日本",
        "odd/...",
        "odd/-rf",
    ];
    for name in names {
        let bytes = Bytes::copy_from_slice(name.as_bytes());
        assert_eq!(backend.put_new(name, bytes).await.unwrap(), Put::Created, "{name}");
        assert_eq!(read(backend, name).await.unwrap(), name.as_bytes());
    }
    let mut found: Vec<String> =
        backend.list("odd/").await.unwrap().into_iter().map(|(key, _)| key).collect();
    found.sort();
    let mut expected = names.map(str::to_owned);
    expected.sort();
    assert_eq!(found, expected);
}

async fn large_objects(backend: &dyn Backend) {
    let part = |byte: u8, length: usize| Bytes::from(vec![byte; length]);
    let parts =
        [part(1, 6 << 20), part(2, 6 << 20), part(3, 6 << 20), part(4, 6 << 20), part(5, 7)];
    let mut upload = backend.upload("large/whole").await.unwrap();
    for bytes in parts.clone() {
        upload.part(bytes).await.unwrap();
    }
    assert_eq!(backend.head("large/whole").await.unwrap(), None, "nothing shows before the end");
    upload.complete().await.unwrap();
    assert!(read(backend, "large/whole").await.unwrap() == parts.concat());

    let mut upload = backend.upload("large/aborted").await.unwrap();
    upload.part(part(1, 6 << 20)).await.unwrap();
    upload.abort().await.unwrap();
    let dropped = backend.upload("large/dropped").await.unwrap();
    drop(dropped);
    let keys: Vec<String> =
        backend.list("large/").await.unwrap().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["large/whole"]);
}

async fn mutable_objects(backend: &dyn Backend, conditional: Conditional) {
    let replace = |bytes: &'static [u8], expected: Expected| {
        backend.replace("mutable", Bytes::from_static(bytes), expected)
    };
    replace(b"1", Expected::Absent).await.unwrap();
    let fault = replace(b"2", Expected::Absent).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Changed);
    let etag = backend.head("mutable").await.unwrap().unwrap().etag;
    replace(b"3", Expected::Present(etag.clone())).await.unwrap();
    assert_eq!(read(backend, "mutable").await.unwrap(), b"3");
    replace(b"4", Expected::Present(None)).await.unwrap();
    let late = replace(b"5", Expected::Present(etag)).await;
    match conditional {
        Conditional::Yes => {
            assert_eq!(late.unwrap_err().kind, FaultKind::Changed);
            assert_eq!(read(backend, "mutable").await.unwrap(), b"4");
        }
        // object_store has no conditional update on a local disk; the replacement is atomic.
        Conditional::No => assert_eq!(read(backend, "mutable").await.unwrap(), b"5"),
    }
}
