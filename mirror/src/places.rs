//! Directories and buckets keep the promises of every backend.

use bonded_mirror::FaultKind;
use bytes::Bytes;

use crate::conformance::{Conditional, check};
use crate::s3;

#[tokio::test]
async fn a_directory_keeps_the_promises() {
    let home = tempfile::tempdir().unwrap();
    let destination = s3::directory("d", &home.path().join("not there/yet"));
    check(destination.backend(), Conditional::No).await;
}

#[tokio::test]
async fn a_bucket_keeps_the_promises() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("bucket")).unwrap();
    let server = s3::serve(home.path()).await;
    for url in ["s3://bucket", "s3://bucket/with/prefix/"] {
        let destination = s3::bucket(&server.endpoint, "b", url);
        check(destination.backend(), Conditional::Yes).await;
    }
}

#[tokio::test]
async fn a_directory_refuses_names_that_it_keeps_for_unfinished_files() {
    let home = tempfile::tempdir().unwrap();
    let destination = s3::directory("d", home.path());
    let fault = destination.backend().put_new("a/b#12", Bytes::new()).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::BadKey);
    destination.backend().put_new("a/b#x", Bytes::new()).await.unwrap();
}
