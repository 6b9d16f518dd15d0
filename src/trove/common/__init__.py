"""Names that operators' existing api-paste.ini files load; everything real lives in trove.api."""
