"""What the kubelet says of devices and exclusive CPUs, by its PodResources API.

A gRPC service on a Unix socket (KEP-606, KEP-2403). gRPC is spoken here by h2 and a decoder of
the few protobuf messages that there are, because the grpcio package costs 25 MB and six threads.
"""
