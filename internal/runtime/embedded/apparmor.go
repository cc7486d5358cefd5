package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Files of the kernel about AppArmor. The second needs securityfs, which hosts with
// AppArmor mount.
const (
	appArmorEnabled  = "/sys/module/apparmor/parameters/enabled"
	appArmorProfiles = "/sys/kernel/security/apparmor/profiles"
)

// checkAppArmor returns an error unless the kernel confines what is executed in the
// profile. "" is no profile.
func checkAppArmor(profile string) error {
	if profile == "" {
		return nil
	}
	enabled, err := os.ReadFile(appArmorEnabled)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("AppArmor: %w", err)
	}
	var profiles []byte
	if string(enabled) != "" {
		if profiles, err = os.ReadFile(appArmorProfiles); err != nil {
			return fmt.Errorf("the profiles of AppArmor cannot be read: %w", err)
		}
	}
	return confinedBy(profile, string(enabled), string(profiles))
}

// confinedBy decides whether a profile confines, by what the kernel's two files say.
func confinedBy(profile, enabled, profiles string) error {
	if strings.TrimSpace(enabled) != "Y" {
		return fmt.Errorf("--apparmor-profile is %q, but this kernel has no AppArmor, or has it switched off: leave the flag out, or start the kernel with it", profile)
	}
	for line := range strings.Lines(profiles) {
		name, mode, ok := strings.Cut(strings.TrimSpace(line), " (")
		if !ok || name != profile {
			continue
		}
		if mode = strings.TrimSuffix(mode, ")"); mode != "enforce" && mode != "kill" {
			return fmt.Errorf("--apparmor-profile is %q, which is loaded in mode %s and so forbids nothing: set it to enforce (aa-enforce)", profile, mode)
		}
		return nil
	}
	return fmt.Errorf("--apparmor-profile is %q, which is not loaded: load it first, by apparmor_parser -r FILE", profile)
}
