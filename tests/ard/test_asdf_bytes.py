"""Is the ASDF extension of a cube the same in every process?

Oracle: sha256 of the extension in fresh processes. asdf orders what it says about itself by the
addresses of objects, which differ between processes.
"""

import subprocess
import sys

CODE = """
import hashlib
import numpy as np
from astropy.wcs import WCS
from ard.asdfwcs import hdu

wcs = WCS(naxis=2)
wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
wcs.wcs.crpix = [5, 5]
wcs.wcs.crval = [40, -8]
wcs.wcs.cdelt = [-1e-5, 1e-5]
wcs.wcs.set()
data = hdu(wcs, np.linspace(1, 2, 50), linear=True).data["ASDF_METADATA"]
print(hashlib.sha256(data.tobytes()).hexdigest())
"""


def test_the_extension_has_the_same_bytes_in_every_process():
    # Unsorted, three equal orders of four entries have a probability of 1 in 576.
    digests = {
        subprocess.run(
            [sys.executable, "-c", CODE], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(3)
    }
    assert len(digests) == 1
