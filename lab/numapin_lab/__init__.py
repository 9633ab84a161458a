"""A two-socket Kubernetes in QEMU: demo, end-to-end test bed and benchmark bed."""
