#ifndef FAIRLEAD_CSYSTEMD_H
#define FAIRLEAD_CSYSTEMD_H

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>

/// The type of the job that systemd has for the unit of the calling process, such as "restart"; empty when it has none.
/// Asked over the system bus, with this long for each of three questions. Returns 0, or a negative error number.
int csystemd_job_type(char *type, size_t size, uint64_t microseconds);

#endif
