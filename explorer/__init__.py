"""The Deep Learning Explorer: train a small network, then take that very network apart."""

import os
import platform

from explorer import compat

# Threads that wait for each other spin for a moment and then sleep. GNU OpenMP reads this when torch is imported. With
# one other busy process on two cores, a LeNet on digits trained on 2 threads that spin (its default) at 219 examples/s,
# so at 4,900; a ResNet on shapes at 40, so at 284. Alone on the machine it costs 8 to 15 percent.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
# NumPy and SciPy read this when they are imported. With other busy processes on two cores, two networks' activations
# compared took 0.75 s with 2 threads of BLAS, which wait for each other in a loop, and take 0.001 s with one. On other
# processors torch may compute with that BLAS too.
if platform.machine() in ("x86_64", "AMD64"):
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
compat.install()
