"""The engine in plain NumPy: the fallback where Numba is missing, and the judge of the compiled one.

Each module has the functions of the module of the same name in ``kernels/``, with the same arguments and effects, and
nothing of its code. They are written to be read: shapes are the comments, formulas are the code.
"""
