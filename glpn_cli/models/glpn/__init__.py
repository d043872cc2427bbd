"""Global-Local Path Networks (Kim et al. 2022, arXiv 2201.07436).

Read `encoder`, `decoder`, `network` in this order; they follow the paper's sections 3.2 to 3.4.
"""
