"""What an operator looks at, and decides, behind the API of a running system.

Events that are on their way (`outboxes`), events that a service gave up on (`dead_letters`), and what buyers
were written (`mailbox`).
"""
