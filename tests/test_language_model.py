"""`LanguageModel` against one built from PyTorch's modules, with a projection and with tied weights."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from agree import assert_agree
from flax import nnx

import jax_lstm as jl

TOKENS = np.random.default_rng(0).integers(0, 7, (3, 4))


@pytest.mark.parametrize("options", [{}, {"proj_size": 3}, {"proj_size": 3, "tied": True}, {"embedding_size": 2}])
def test_logits_and_states_are_pytorchs(x64: None, options: dict[str, Any]) -> None:
    torch: Any = pytest.importorskip("torch")
    proj_size, tied = options.get("proj_size", 0), options.get("tied", False)
    output_size = proj_size or 5
    embedding_size = options.get("embedding_size", output_size)
    theirs = torch.nn.ModuleDict(
        {
            "embedding": torch.nn.Embedding(7, embedding_size),
            "lstm": torch.nn.LSTM(embedding_size, 5, 2, batch_first=True, proj_size=proj_size),
            "fc": torch.nn.Linear(output_size, 7),
        }
    ).double()
    if tied:
        theirs["fc"].weight = theirs["embedding"].weight

    ours = nnx.eval_shape(lambda: jl.LanguageModel(7, 5, 2, **options, param_dtype="float64", rngs=nnx.Rngs(0)))
    jl.load_state_dict(ours, theirs.state_dict())
    back = {name: torch.from_numpy(array) for name, array in jl.state_dict(ours).items()}
    theirs.load_state_dict(back, strict=True)

    start = ours.start(3)
    assert [part.shape for part in start] == [(2, 3, output_size), (2, 3, 5)]
    for state in (start, jl.LSTMState(start.h + 0.5, start.c - 0.5)):
        logits, last = ours(jnp.asarray(TOKENS), state)
        given = tuple(torch.from_numpy(np.array(part)) for part in state)
        ys, expected = theirs["lstm"](theirs["embedding"](torch.from_numpy(TOKENS)), given)
        for got, wanted in zip((logits, *last), (theirs["fc"](ys), *expected), strict=True):
            assert_agree("outputs", got, wanted.detach(), "float64")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bidirectional": True}, r"`bidirectional` must be False in a language model; got True \(a reverse direction"),
        ({"proj_size": 3, "tied": True, "embedding_size": 5}, "`embedding_size` must equal .*, 3, if tied; got 5"),
        ({"proj_size": 5}, "`proj_size` must be smaller than hidden_size, 5; got 5"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(jl.InputError, match=message):
        jl.LanguageModel(7, 5, **options, rngs=nnx.Rngs(0))
