"""Many photographs into Parquet files: by this process, or by the processes of a cluster.

predict_files.predict_to_parquet      checks, hands out blocks, writes parts
      |                 |
inputs.PhotographTable  results.PartFolder      a row a photograph  ->  a row a result
      |                 |
work.BlockWork          inspects the photographs of one block, wherever it runs
"""

from patchbank.bulk.predict_files import BulkCount, predict_to_parquet

__all__ = ["BulkCount", "predict_to_parquet"]
