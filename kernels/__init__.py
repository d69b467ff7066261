"""The compiled engine: Numba kernels on LLVM vectors. Installed as ``fastmlp.kernels``."""
