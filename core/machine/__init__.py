"""The computer underneath: devices, folders, files, the process itself."""
