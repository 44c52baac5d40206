"""The machine that builds: processes, files, mounts, namespaces, and what is told meanwhile."""
