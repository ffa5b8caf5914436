//! Pages that are cut because they are full: where no key ends one, 256 entries do.

use super::*;

/// Keys none of which ends a leaf, with one in many that does.
fn keys(count: usize, one_in: usize) -> Vec<Key> {
    let named = |ends: bool| {
        let texts = (0..).map(|n| format!("cut/{n:06}"));
        texts.filter(move |text| ends_page(0, PackedKey::of(text).as_bytes()) == ends)
    };
    let ending = named(true).take(count / one_in);
    let mut keys: Vec<_> = named(false).take(count).chain(ending).map(|text| key(&text)).collect();
    keys.sort();
    keys
}

proptest! {
    #![proptest_config(crate::tests::cases(16))]

    #[test]
    fn full_pages_are_cut_as_if_the_tree_had_been_built_at_once(
        one_in in 300_usize..2000,
        from in 0..5_usize,
        acts in proptest::collection::vec((any::<proptest::sample::Index>(), any::<bool>(), 0..12_u8), 1..80),
    ) {
        let keys = keys(1500, one_in);
        let memory = Memory::new();
        let mut model: Model = keys.iter().skip(from).step_by(1 + from / 4).map(|key| (key.clone(), descriptor(0))).collect();
        prop_assert!(model.len() > 700);
        let mut held = filled(&memory, model.clone());
        for (at, inserts, commits) in acts {
            let key = keys[at.index(keys.len())].clone();
            if inserts {
                held.insert(key.clone(), descriptor(3)).unwrap();
                model.insert(key, descriptor(3));
            } else {
                held.remove(&key).unwrap();
                model.remove(&key);
            }
            if commits == 0 {
                held = memory.commit(&held);
                prop_assert_eq!(sealed_root(&held), sealed_root(&filled(&Memory::new(), model.clone())));
            }
        }
        let held = memory.commit(&held);
        let straight = filled(&Memory::new(), model.clone());
        prop_assert_eq!(sealed_root(&held), sealed_root(&straight));
        prop_assert_eq!(shape(&memory.open(sealed_root(&held)).unwrap()), shape(&straight));
        held.check().unwrap();
        check_same(&held, &model);
    }
}
