"""The service over HTTP: who may ask what, inspections in a queue, products, their detectors.

request -> guarding (who, from where, how large) -> routes -> inference (queue, threads)
        -> committing (one transaction for all that waits) -> answer
"""
