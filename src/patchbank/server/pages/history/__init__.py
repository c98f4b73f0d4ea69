"""Pages of what is on record: parts that are found again, one part, and charts of many.

query -> asked -> a filter of the records -> views (parts) or charts -> templates
"""
