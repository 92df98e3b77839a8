"""Ways to train the same model on the same data, each as its own kind of user would write it.

Each runs in a process of its own (`worker.py`), so that what one does to memory, threads or torch's settings
doesn't reach the others.
"""
