//! Bytes and digests that stay what they are. Whoever has to change one of them changes the format: that
//! takes a new version, see `docs/store-format.md`.

use super::super::key::rank;
use super::*;
use crate::root::Root;

fn hex(bytes: &[u8]) -> String {
    bonded_model::digest::encode(bytes)
}

#[test]
fn ranks() {
    let digest = Digest::sha256_of(b"content");
    let told =
        ["release/demo/v1", "release/demo/v2", "image/demo/v1", "image/registry.k8s.io/pause/3.9"]
            .map(|text| rank(PackedKey::of(text).as_bytes()));
    assert_eq!(told, [0, 0, 1, 0]);
    let referrer = Key::referrer(&digest, &digest);
    assert_eq!(
        hex(PackedKey::of(referrer.as_str()).as_bytes()),
        "72656665727265722f01ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f732f01ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
    );
    assert_eq!(rank(PackedKey::of(referrer.as_str()).as_bytes()), 0);
    let first = |wanted: u32| {
        let keys = (0..).map(|n| format!("release/demo/v{n}"));
        keys.into_iter().find(|text| rank(PackedKey::of(text).as_bytes()) == wanted).unwrap()
    };
    assert_eq!(
        [5, 9, 13].map(first),
        ["release/demo/v26", "release/demo/v1306", "release/demo/v8525"]
    );
}

#[test]
fn a_leaf() {
    let entries = [("evidence/demo/v1", 1), ("release/demo/v1", 2), ("release/demo/v2", 2)];
    let items: Vec<_> = entries.iter().map(|(key, n)| item(key, &descriptor(*n))).collect();
    assert_eq!(
        hex(&encode(0, &items)),
        "62636174010003001065766964656e63652f64656d6f2f7631016d7b226172746966616374547970\
         65223a226170706c69636174696f6e2f766e642e626f6e6465642e72656c656173652e7631222c22\
         6d6564696154797065223a226170706c69636174696f6e2f766e642e6f63692e696d6167652e6d61\
         6e69666573742e76312b6a736f6e227d4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5\
         d7cce23c7785459a01000f72656c656173652f64656d6f2f7631018f017b22616e6e6f746174696f\
         6e73223a7b226e6f7465223a22c3a9205c2271756f7465645c22227d2c226d656469615479706522\
         3a226170706c69636174696f6e2f766e642e6f63692e696d6167652e696e6465782e76312b6a736f\
         6e222c22706c6174666f726d223a7b22617263686974656374757265223a22616d643634222c226f\
         73223a226c696e7578227d7ddbc1b4c900ffe48d575b5da5c638040125f65db0fe3e24494b76ea98\
         6457d986010e013205dbc1b4c900ffe48d575b5da5c638040125f65db0fe3e24494b76ea986457d9\
         8601"
    );
    assert_eq!(hex(&Catalog::empty_page()), "626361740100".to_owned() + "00");
}

#[test]
fn a_root_document() {
    let first = Root::first(Digest::sha256_of(&Catalog::empty_page()));
    let second = first.next(Digest::sha256_of(b"catalog"));
    assert_eq!(
        hex(&second.to_bytes()),
        "7b22636174616c6f67223a227368613235363a363532663535303136323433626631623966316262\
         65613436643537343965663839326462653339346534366465396436366162316161636630623461\
         663537222c2265706f6368223a312c22706172656e74223a227368613235363a3063373366666534\
         66393236653931353237666233343137333263376635353865663161323866613062306136636265\
         62643738346565623533303062383032222c2276657273696f6e223a327d"
    );
}

#[test]
fn a_tree_of_three_levels_with_full_pages() {
    let no_ends = (0..).map(|n| format!("cut/{n:06}"));
    let no_ends = no_ends.filter(|text| !ends_page(0, PackedKey::of(text).as_bytes())).take(600);
    let full = no_ends.map(|text| (key(&text), descriptor(0)));
    let catalog = filled(&Memory::new(), (0..3000).map(|n| referrer(n / 3, n)).chain(full));
    assert_eq!((catalog.len(), shape(&catalog)), (3600, [(0, 95), (1, 6), (2, 1)].into()));
    assert_eq!(
        sealed_root(&catalog).to_string(),
        "sha256:493bb4550d01a90bde521ee61cf8431ea0fec53bb515e9ea282c3fb166e5c5d4"
    );
}
