"""The filters of the Paste pipeline, from outside in; plain WSGI: a wrapper of webob costs as much as the app."""
