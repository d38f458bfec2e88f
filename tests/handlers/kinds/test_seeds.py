from handlers.kinds.seeds import MAX_SEED, derive_seed, output_seed, seed_from_id


def test_seeds_stay_within_what_json_carries_exactly() -> None:
    seeds = [derive_seed("job", ordinal) for ordinal in range(1000)]

    assert all(0 <= seed <= MAX_SEED for seed in seeds)
    assert max(seeds) > 2**52
    assert len(set(seeds)) == 1000


def test_seeds_do_not_change_from_release_to_release() -> None:
    assert derive_seed("job", 0) == 8828071407843908
    assert seed_from_id("job") == derive_seed("job", 0)


def test_the_first_output_has_the_jobs_own_seed_and_each_other_one_its_own() -> None:
    assert output_seed(0, 0) == 0
    assert output_seed(42, 0) == 42
    assert output_seed(42, 1) == derive_seed("42", 1)
    assert len({output_seed(42, ordinal) for ordinal in range(8)}) == 8
