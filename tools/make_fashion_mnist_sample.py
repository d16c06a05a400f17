"""Make the embedded Fashion-MNIST sample from the full data set: the first images of each class, in
file order.

    python -m tools.make_fashion_mnist_sample

It needs the full data set from any of its sources (Debian: `apt-get install
dataset-fashion-mnist`), writes the four files into `lowrank_dynamics/data/fashion-mnist-sample/`,
the same bytes every time, and prints the digests that `lowrank_dynamics/data/fashion_mnist.py`
expects of their decompressed content.
"""

import gzip
import hashlib
import struct

from torch import Tensor

from lowrank_dynamics.data.fashion_mnist import FILES, FULL, SAMPLE_FOLDER, SAMPLE_SIZE, select


def encode_idx(values: Tensor) -> bytes:
    """Return a uint8 tensor as the bytes of an IDX file."""
    header = bytes([0, 0, 8, values.dim()]) + struct.pack(f">{values.dim()}I", *values.shape)
    return header + values.numpy().tobytes()


def main() -> None:
    """Write the sample's four files and print their digests."""
    tensors, _ = select(FULL, *SAMPLE_SIZE)
    for name, file in FILES.items():
        content = encode_idx(tensors[name])
        (SAMPLE_FOLDER / file).write_bytes(gzip.compress(content, compresslevel=9, mtime=0))
        print(f"{hashlib.sha256(content).hexdigest()}  {file}")


if __name__ == "__main__":
    main()
