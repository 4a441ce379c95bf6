"""The earlier contract under /api/auth/customers/excel/. Its URLs and JSON keys never change."""
