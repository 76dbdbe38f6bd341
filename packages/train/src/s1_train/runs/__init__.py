"""A run on disk and its processes: folder, launch, worker, checkpoints, what is watched."""
