def takeaway(*a):
    pass
