#include "CSystemd.h"

#include <errno.h>
#include <stdio.h>
#include <systemd/sd-bus.h>

static const char manager[] = "org.freedesktop.systemd1";

// The object of the caller's unit, and then that of the unit's job; "/" when it has none.
static int job_path(sd_bus *bus, char *path, size_t size) {
    sd_bus_message *reply = NULL;
    const char *unit, *job;
    uint32_t number;
    int result = sd_bus_call_method(
        bus, manager, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "GetUnitByPID", NULL, &reply, "u",
        (uint32_t)0);
    if (result >= 0) result = sd_bus_message_read(reply, "o", &unit);
    sd_bus_message *property = NULL;
    if (result >= 0)
        result = sd_bus_get_property(bus, manager, unit, "org.freedesktop.systemd1.Unit", "Job", NULL, &property, "(uo)");
    if (result >= 0) result = sd_bus_message_read(property, "(uo)", &number, &job);
    if (result >= 0 && (size_t)snprintf(path, size, "%s", number == 0 ? "/" : job) >= size) result = -ENAMETOOLONG;
    sd_bus_message_unref(property);
    sd_bus_message_unref(reply);
    return result < 0 ? result : 0;
}

int csystemd_job_type(char *type, size_t size, uint64_t microseconds) {
    sd_bus *bus = NULL;
    sd_bus_message *reply = NULL;
    const char *text = "";
    char path[256];
    int result = sd_bus_open_system(&bus);
    if (result >= 0) result = sd_bus_set_method_call_timeout(bus, microseconds);
    if (result >= 0) result = job_path(bus, path, sizeof path);
    if (result >= 0 && path[1] != 0) {
        result = sd_bus_get_property(
            bus, manager, path, "org.freedesktop.systemd1.Job", "JobType", NULL, &reply, "s");
        if (result >= 0) result = sd_bus_message_read(reply, "s", &text);
    }
    if (result >= 0 && (size_t)snprintf(type, size, "%s", text) >= size) result = -ENAMETOOLONG;
    sd_bus_message_unref(reply);
    sd_bus_close_unref(bus);
    return result < 0 ? result : 0;
}
