"""Does the figure of a fit's residuals show what is left, and hold every voxel of it?

Oracle: construction, voxel by voxel.
"""

import io

import numpy as np
from matplotlib.image import imread

from manifests import load_target
from pipeline.figures import residuals as figure
from pipeline.infer.residuals import Residuals

RBH1 = load_target("rbh1")
HALPHA_UM = 0.6564632 * 1.964
SKY = (4, 5)


def left(count: int) -> Residuals:
    """Noise about a model that is 1 in one voxel; one voxel is masked. Few channels draw fast."""
    shape, middle = (count, *SKY), count // 2
    model = np.zeros(shape)
    model[middle, 2, 3] = 1.0
    mask = np.zeros(shape, bool)
    mask[middle - 1, 1, 1] = True
    sigma = np.full(shape, 0.5)
    data = np.where(mask, np.nan, model + sigma * np.random.default_rng(1).normal(size=shape))
    wave = HALPHA_UM * (1.0 + (np.arange(count) - middle) * 5e-4)  # 150 km/s apart
    return Residuals(data, model, sigma, mask, np.arange(20, 20 + count), wave, 7, 9,
                     {"Halpha": HALPHA_UM})  # fmt: skip


def test_every_voxel_is_in_the_table_and_the_figure_repeats():
    one, other = (
        figure.run(residuals=left(3), title="t001: jump", target=RBH1, simulated=True)
        for _ in range(2)
    )
    assert one["figure"] == other["figure"]
    assert imread(io.BytesIO(one["figure"]))[..., :3].std() > 0.05
    table, seen = one["data"].data, left(3)
    assert one["data"].simulated
    assert len(table) == seen.data.size
    for row in table[::7]:
        place = (int(row["channel"]) - 20, int(row["y"]) - 7, int(row["x"]) - 9)
        assert row["used"] != seen.mask[place]
        assert row["model"].value == np.float32(seen.model[place])
        assert row["wave"].value == seen.wave[place[0]]
        if row["used"]:
            pull = (seen.data[place] - seen.model[place]) / 0.5
            assert row["pull"] == np.float32(pull)
    assert np.isnan(table["pull"][~table["used"]]).all()


def test_channels_are_those_next_to_the_line():
    chosen, speed = figure._channels(left(11), HALPHA_UM)
    np.testing.assert_array_equal(chosen, np.arange(1, 10))  # 9 of 11, within 700 km/s
    np.testing.assert_allclose(speed, 149.896 * np.arange(-4, 5), atol=0.01)
    far, _ = figure._channels(left(11), 1.1 * HALPHA_UM)
    assert far.size == 1
