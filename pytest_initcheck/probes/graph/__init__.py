"""Models as graphs of primitive operations: how frameworks without modules to hook are seen.

A front end (JAX, TensorFlow, the numpy tracer) records a ``nodes.Graph`` and can run it again
(``flow.Flow``); what the operations are together, and what a Trace says of them, is found here, alike
for all.  PYTEST_DONT_REWRITE
"""
