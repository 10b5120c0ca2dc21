"""The machine: devices, folders, files and settings of the process."""
