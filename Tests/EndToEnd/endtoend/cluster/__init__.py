"""A highly available control plane on one machine: hosts are network namespaces, everything else is real."""
