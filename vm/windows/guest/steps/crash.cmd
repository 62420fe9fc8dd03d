@echo off
rem SPDX-License-Identifier: Apache-2.0
rem A crash leaves a dump, and the guest as it is; an NMI from the host makes a dump of a hang.
setlocal
set "CRASH=HKLM\SYSTEM\CurrentControlSet\Control\CrashControl"
set "MEMORY=HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management"
reg add %CRASH% /v CrashDumpEnabled /t REG_DWORD /d %KSHS_DUMP% /f
if not %errorlevel%==0 goto :failed
reg add %CRASH% /v AutoReboot /t REG_DWORD /d 0 /f
if not %errorlevel%==0 goto :failed
reg add %CRASH% /v NMICrashDump /t REG_DWORD /d 1 /f
if not %errorlevel%==0 goto :failed
reg add %CRASH% /v AlwaysKeepMemoryDump /t REG_DWORD /d 1 /f
if not %errorlevel%==0 goto :failed
reg add %CRASH% /v Overwrite /t REG_DWORD /d 1 /f
if not %errorlevel%==0 goto :failed
reg add %CRASH% /v LogEvent /t REG_DWORD /d 1 /f
if not %errorlevel%==0 goto :failed
reg add %CRASH% /v DumpFile /t REG_EXPAND_SZ /d "%%SystemRoot%%\MEMORY.DMP" /f
if not %errorlevel%==0 goto :failed
reg add %CRASH% /v MinidumpDir /t REG_EXPAND_SZ /d "%%SystemRoot%%\Minidump" /f
if not %errorlevel%==0 goto :failed
rem The page file holds the dump until the next start: memory and 257 MB is enough for any kind.
reg add "%MEMORY%" /v PagingFiles /t REG_MULTI_SZ /d "C:\pagefile.sys %KSHS_PAGEFILE_MIB% %KSHS_PAGEFILE_MIB%" /f
if not %errorlevel%==0 goto :failed
rem After a crash the system starts as ever, and not its repair, which waits for a person.
bcdedit /set recoveryenabled no
if not %errorlevel%==0 goto :failed
bcdedit /set bootstatuspolicy ignoreallfailures
if not %errorlevel%==0 goto :failed
exit /b 3010

:failed
set "CODE=%errorlevel%"
if "%CODE%"=="0" set "CODE=1"
exit /b %CODE%
