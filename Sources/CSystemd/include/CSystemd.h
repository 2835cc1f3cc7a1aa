#ifndef FAIRLEAD_CSYSTEMD_H
#define FAIRLEAD_CSYSTEMD_H

#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>

#endif
