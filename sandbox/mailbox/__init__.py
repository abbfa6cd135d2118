"""A mailbox for everybody: takes any mail over SMTP, keeps it on disk, shows it on a page and as JSON.

The walk of a mail: `receiving` takes it (or plays a fault), `store` keeps it, `reading` takes it apart, `api` and
`pages` show it.
"""
