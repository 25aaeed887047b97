"""Counts from HLO and from jaxprs: loops and their instructions, exchanges between devices, matrix products."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from benchmarks.core import hlo
from benchmarks.core.cases import Case, draw
from benchmarks.core.compiling import compilations, equations, in_stages, products, without_caches
from benchmarks.core.contenders.base import BACKWARD, FORWARD, Work
from benchmarks.core.hlo import Exchange, exchanges
from benchmarks.jit.variants import VARIANTS

MIB = 2**20
TEXT = """HloModule m, is_scheduled=true, entry_computation_layout={(f32[2]{0})->f32[2]{0}}, num_partitions=8

%fused (p: f32[2]) -> f32[2] {
  %s.1 = f32[1,2]{1,0} dynamic-slice(%p, %p), dynamic_slice_sizes={1,2}
  ROOT %d = f32[2]{0} dot(%s.1, %p), metadata={op_name="a(b)"}
}

%inner (t: (s32[], f32[2])) -> (s32[], f32[2]) {
  %g = f32[8,4]{1,0} all-gather(%x), channel_id=1, replica_groups=[2,4]<=[8], dimensions={0}, use_global_device_ids=true
  %p.1 = bf16[6]{0} collective-permute(%y), channel_id=4, source_target_pairs={{0,1},{1,0}}
  ROOT %r = (s32[], f32[2]{0}) tuple(%g)
}

%body (t: (s32[], f32[2])) -> (s32[], f32[2]) {
  %t.2 = (s32[], /*index=1*/f32[2]{0}) parameter(0)
  %f = f32[2]{0} fusion(%t.2), kind=kLoop, calls=%fused
  %r.3 = (f32[10]{0}, pred[4]{0}) all-reduce(%u, %v), replica_groups={{0,1},{2,3},{4,5},{6,7}}, to_apply=%add
  %w.2 = (s32[]) while(%t.2), condition=%c, body=%inner, backend_config={"known_trip_count":{"n":"5"}}
}

ENTRY %main (x: f32[2]) -> f32[2] {
  %w = (s32[], f32[2]{0}) while(%x), condition=%c, body=%body, backend_config={"known_trip_count":{"n":"3"}}
  %alone = f32[9]{0} all-reduce(%x), replica_groups={{0},{1}}, to_apply=%add
  %s.2 = f32[3]{0} reduce-scatter(%x), channel_id=3, replica_groups={}, dimensions={0}, to_apply=%add
  %r.5 = ((f32[5], f32[1]), (f32[10], f32[2])) all-gather-start(%x, %x), replica_groups=mesh['a'=4,'b'=2] {'b'}
  %r.6 = (f32[10], f32[2]) all-gather-done(%r.5)
  %c.1 = f32[2] all-gather(%x), channel_id=9, replica_groups=[4,2]<=[8], frontend_attributes={chain_id="0"}
  %c.2 = f32[2] all-gather(%x), channel_id=9, replica_groups=[4,2]<=[8], frontend_attributes={chain_id="1"}
  %c.3 = f32[2] all-gather(%x), channel_id=9, replica_groups=[4,2]<=[8], frontend_attributes={chain_id="1"}
}
"""
UNKNOWN = TEXT.replace('{"known_trip_count":{"n":"3"}}', "{}")


def test_loops() -> None:
    module = hlo.read(TEXT)
    assert module.instructions == 17
    assert module.counts["while"] == 2
    outer, inner = module.loops
    assert (outer.trips, outer.kernels) == (3, 3)
    assert outer.counts["dot"] == outer.counts["dynamic-slice"] == 1
    assert "all-gather" not in outer.counts
    assert (inner.trips, inner.kernels, inner.counts["all-gather"]) == (5, 2, 1)
    assert hlo.read(UNKNOWN).loops[0].trips is None


def test_exchanges() -> None:
    assert exchanges(TEXT) == [
        Exchange("all-reduce", 44, 2, 2, 3),
        Exchange("all-gather", 128, 1, 4, 15),
        Exchange("collective-permute", 12, 1, 8, 15),
        Exchange("reduce-scatter", 12, 1, 8, 1),
        Exchange("all-gather", 48, 2, 2, 1),
        Exchange("all-gather", 8, 1, 2, 1),  # of chain 0
        Exchange("all-gather", 8, 1, 2, 1),
    ]
    with pytest.raises(ValueError, match="all-reduce in a loop of unknown length"):
        exchanges(UNKNOWN)
    with pytest.raises(ValueError, match="unknown form"):
        exchanges(TEXT.replace("mesh['a'=4,'b'=2] {'b'}", "mesh['a'=8] {'a':(2)4}"))


@pytest.mark.parametrize(
    ("kind", "of_a_result", "sent"),
    [  # of 4 devices that hold or end up with 4 MiB, ring by ring: each passes on 3 pieces of 1 MiB
        ("reduce-scatter", MIB, 3 * MIB),
        ("all-gather", 4 * MIB, 3 * MIB),
        ("all-reduce", 4 * MIB, 6 * MIB),
        ("all-to-all", 4 * MIB, 3 * MIB),
        ("collective-permute", MIB, MIB),
    ],
)
def test_what_a_ring_sends(kind: str, of_a_result: int, sent: int) -> None:
    assert Exchange(kind, of_a_result, 1, 4, 10).sent == 10 * sent


def work(variant: str, case: Case, measure: str = BACKWARD) -> Work:
    return VARIANTS[variant].contender.build(draw(case))[measure]


def jaxpr_of(work: Work) -> Any:
    assert work.compiled
    function, arguments = work.compiled
    return jax.make_jaxpr(function)(*arguments()).jaxpr


def test_what_is_compiled() -> None:
    """By hand: the products of the LSTM, and the loops that its text has."""
    flat = Case(2, 5, 3, 4)
    wide = dataclasses.replace(flat, batch=17)  # with a form for each platform
    for variant, case, times in (
        ("scan", flat, 3), ("scan kernel", flat, 3), ("scan, remat steps", flat, 4), ("scan kernel", wide, 3)
    ):  # fmt: skip
        jaxpr = jaxpr_of(work(variant, case))
        assert products(jaxpr) == times * case.flops
        assert equations(jaxpr) > len(jaxpr.eqns)
    scan = work("scan", flat)
    with compilations() as count:
        _, compiled, seconds = in_stages(scan)
        scan.run()
    assert count.number == 1
    assert seconds.keys() == {"trace", "lower", "compile"}
    assert [loop.trips for loop in hlo.read(compiled.as_text()).loops] == [flat.steps, flat.steps]  # there and back
    assert products(jaxpr_of(work("fori_loop", flat, FORWARD))) is None


def test_without_caches_nothing_is_kept(tmp_path: Path) -> None:
    """Also if the cache was in use before."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    try:
        reset_cache()
        jax.jit(lambda x: x + 1)(jnp.ones(3))
        kept = set(tmp_path.iterdir())
        assert kept
        with without_caches():
            jax.jit(lambda x: x + 2)(jnp.ones(3))
        assert set(tmp_path.iterdir()) == kept
    finally:
        jax.config.update("jax_compilation_cache_dir", None)
        reset_cache()
