"""Pages for people: rendered here, live by server-sent events, with small modules of JavaScript.

request -> service.guarding (the one mechanism) -> a page -> templates, in the reader's language
"""
