"""Set-ups: photographs that people have sent, from which the detector of a product is fitted.

photographs  their files: names that are no paths, what is no photograph, small pictures
setup        the facts of a set-up, and its folder
store        all set-ups of a service, which are tidied after days
jobs         copying, check and fit, each as a job
comparisons  two detectors of a product on its last kept parts
earlier      photographs of a set-up, as the detector in use so far sees them
work         what the process of such a job does
"""
